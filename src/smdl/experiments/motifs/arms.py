"""The arms: what is done to the weights in training, or to those of a freely trained model afterwards."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from smdl.experiments.motifs.settings import Mosaics

FREE = "free"
GPT_NEOX, LLAMA = "gpt_neox", "llama"
MOTIFS = {"random": "random motifs", "kmeans": "k-means motifs"}
QUANTIZED, PRUNED = "quantized", "pruned"
QUANTIZED_AFTER, MOTIFS_AFTER = "quantized after training", "motifs after training"
# What all arms touch, so that their bits are of the same weights.
MATRICES = "matrices"
GRID = {"range": "maximum", "scope": "tensor", "parameters": MATRICES}


@dataclass(frozen=True)
class Arm:
    """An arm: its name in paths and tables, its method, and the scheme with its level; none in free training."""

    name: str
    method: str
    scheme: str = ""
    variant: Mapping[str, Any] = field(default_factory=dict)
    level: float = 1.0
    mode: Literal["projection", "straight-through"] = "projection"

    @property
    def described(self) -> dict[str, Any]:
        """The columns of the table ``motifs`` that say what arm a model is of."""
        return {
            "arm": self.name,
            "method": self.method,
            "s": self.variant.get("block"),
            "capacity": self.level if self.scheme == "motifs" else None,
            "values": self.level if self.scheme == "quantize" else None,
            "pruned": self.level if self.scheme == "prune" else None,
        }


def mosaic(choice: str, block: int, capacity: float) -> Arm:
    """Weights made of motifs in training, as the source does it."""
    variant = {"block": block, "choice": choice, "parameters": MATRICES}
    return Arm(f"{choice}-s{block}-c{capacity:g}", MOTIFS[choice], "motifs", variant, capacity)


def in_training(settings: Mosaics) -> Iterator[Arm]:
    """The arms that a model is trained in, the free one first."""
    yield Arm(FREE, FREE)
    for choice in MOTIFS:
        yield from (mosaic(choice, *cell) for cell in settings.cells)
    for values in settings.quantized:
        yield Arm(f"quantized-{values}", QUANTIZED, "quantize", GRID, values, "straight-through")
    for fraction in settings.pruned:
        variant = {"score": "magnitude", "scope": "global", "parameters": MATRICES}
        yield Arm(f"pruned-{fraction:g}", PRUNED, "prune", variant, fraction)


def after_training(settings: Mosaics) -> Iterator[Arm]:
    """What a freely trained model is compressed with: quantization at every precision, and the headline's mosaic."""
    for values in settings.quantized_after:
        yield Arm(f"quantized-after-{values}", QUANTIZED_AFTER, "quantize", GRID, values)
    its = settings.headline
    own = mosaic(its.choice, its.block, its.capacity)
    yield Arm(f"{own.name}-after", MOTIFS_AFTER, own.scheme, own.variant, own.level)


def models(settings: Mosaics) -> Iterator[tuple[str, Arm, int]]:
    """Architecture, arm and seed of every model that is trained."""
    for arm in in_training(settings):
        free = arm.name == FREE
        for architecture in (GPT_NEOX, LLAMA) if free else (GPT_NEOX,):
            for seed in range(settings.free_seeds if free else settings.seeds):
                yield architecture, arm, seed
