"""The config of the experiment on Mosaic-of-Motifs."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from smdl.corpus.settings import PackageText
from smdl.corpus.text_files import PACKAGE_BYTES
from smdl.llc.settings import Gates, Localised
from smdl.settings.base import Config, Distinct, FromOne, Integer, Number, Section, section, with_defaults
from smdl.sources.train import Architecture, Training

Capacity = Annotated[float, Field(gt=0, le=1)]
Values = Annotated[int, Field(ge=2, le=65536)]
Fraction = Annotated[float, Field(gt=0, lt=1)]

MosaicArchitecture = with_defaults(Architecture, "MosaicArchitecture", layers=2, hidden=48, heads=3)
MosaicTraining = with_defaults(Training, "MosaicTraining", steps=300, batch_size=32, lr=3e-3, warmup=30)
# That which the mini study calls fair: in neighbourhoods whose loss is of the order of the tolerances.
MosaicSampler = with_defaults(
    Localised,
    "MosaicSampler",
    lr=5e-6,
    n_beta=300,
    gamma=3000,
    preconditioner="fixed",
    batch_size=8,
    burn_in=30,
    draws=40,
)


class Text(Section):
    """The text, as bytes."""

    name: Literal["kjv", "factbook"] = Field("kjv", description="King James Bible, or CIA World Factbook.")
    context: Integer = Field(64, ge=2, le=4096, description="Bytes a block.")
    sampling: Integer = Field(256, ge=1, description="Blocks from which the sampler draws its minibatches.")
    test: Integer = Field(256, ge=2, description="Blocks on which the loss of a finished model is taken.")


class Cell(Section):
    """A mosaic: how motifs are chosen, their length, and how many there are."""

    choice: Literal["random", "kmeans"] = Field("kmeans", description="Blocks drawn at random, or k-means of these.")
    block: Integer = Field(4, ge=1, le=65536, description="Weights per motif, s.")
    capacity: Number = Field(0.3, gt=0, le=1, description="Motifs over blocks.")


class Margins(Section):
    """Differences that are too small to count; all tests have them."""

    loss: Number = Field(0.125, gt=0, description="Losses (nats per byte) that are as good as each other.")
    complexity: Number = Field(0.01, ge=0, description="Relative difference of a measure of complexity.")
    error: Number = Field(0.05, ge=0, description="Relative difference of a scheme's squared error.")
    bits: Number = Field(0.05, ge=0, description="Relative difference of the size of a file.")
    llc: Number = Field(0.05, ge=0, description="Relative difference of learning coefficients.")


class Mosaics(Config):
    """Mosaic-of-Motifs (arXiv:2602.14896) against free, quantized and pruned training (make motifs)."""

    seed: Integer = Field(0, ge=0, description="Seed of the text's split; a model's own seed is added to it.")
    text: Text = section()
    architecture: MosaicArchitecture = section()
    training: MosaicTraining = section()
    free_seeds: Integer = Field(8, ge=2, le=1000, description="Models trained freely, of each of the two kinds.")
    seeds: Integer = Field(5, ge=2, le=1000, description="Models of every other arm; not more than are trained freely.")
    every: Integer = Field(50, ge=1, description="Steps from one projection of the weights to the next.")
    blocks: Annotated[tuple[FromOne, ...], Distinct] = Field(
        (2, 4, 8, 16, 32, 128), min_length=1, description="Lengths of motifs, at the capacity of blocks_at."
    )
    blocks_at: Number = Field(0.1, gt=0, le=1, description="That capacity.")
    capacities: Annotated[tuple[Capacity, ...], Distinct] = Field(
        (0.01, 0.03, 0.1, 0.3), min_length=1, description="Capacities, at the length of motifs of capacities_at."
    )
    capacities_at: Integer = Field(4, ge=1, le=65536, description="That length.")
    quantized: Annotated[tuple[Values, ...], Distinct] = Field(
        (4, 16), min_length=1, description="Values a weight can take in quantization-aware training."
    )
    pruned: Annotated[tuple[Fraction, ...], Distinct] = Field(
        (0.5, 0.9), min_length=1, description="Fractions of the weights that are pruned in training."
    )
    quantized_after: Annotated[tuple[Values, ...], Distinct] = Field(
        (4, 6, 8, 12, 16, 24, 32, 64, 256),
        min_length=1,
        description="Values a weight can take where a freely trained model is quantized afterwards.",
    )
    headline: Cell = section()
    levels: Integer = Field(
        256, ge=2, le=65536, description="Precision of the quantized codes whose complexity is taken."
    )
    chains: Integer = Field(2, ge=2, le=1000, description="Chains of the sampler for every model.")
    sampler: MosaicSampler = section()
    gates: Gates = section()
    margins: Margins = section()

    @property
    def corpus(self) -> PackageText:
        """The text as a study's section ``corpus`` names it."""
        its = self.text
        blocks = {"sampling": its.sampling, "evaluation": its.test}
        return PackageText(source="package", name=its.name, context=its.context, blocks=blocks)

    def conflicts(self) -> Iterator[str]:
        """The shape can be, the text is enough, and what decides is among what is run."""
        shape, headline = self.architecture, self.headline
        if shape.hidden % (2 * shape.heads):
            yield f"architecture.heads: {shape.heads} do not divide hidden, {shape.hidden}, into even widths"
        left = PACKAGE_BYTES[self.text.name] // self.text.context - self.text.sampling - self.text.test
        if left < self.training.batch_size:
            yield f"text: {max(left, 0)} blocks are left for training, fewer than training.batch_size"
        if self.sampler.batch_size > self.text.sampling:
            yield f"sampler.batch_size: {self.sampler.batch_size} are more than text.sampling, {self.text.sampling}"
        if self.seeds > self.free_seeds:
            yield f"seeds: {self.seeds} are more than free_seeds, {self.free_seeds}, which they are compared with"
        if (headline.block, headline.capacity) not in self.cells:
            yield (
                f"headline: motifs of {headline.block} at capacity {headline.capacity:g} are not among those of blocks"
                " and capacities"
            )

    @property
    def cells(self) -> list[tuple[int, float]]:
        """Length and capacity of every mosaic that is trained."""
        lengths = [(block, self.blocks_at) for block in self.blocks]
        return list(dict.fromkeys([*lengths, *((self.capacities_at, capacity) for capacity in self.capacities)]))


def decides(settings: dict[str, Any]) -> dict[str, Any]:
    """Of the plain settings what decides a model and its measures: neither which arms there are, nor the margins."""
    arms = {"free_seeds", "seeds", "blocks", "blocks_at", "capacities", "capacities_at", "quantized", "pruned"}
    return {key: value for key, value in settings.items() if key not in {*arms, "text", "seed", "margins"}}
