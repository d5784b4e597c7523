"""The schemes of compression: for each its levels, and the settings of a variant of it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from smdl.settings.base import AS_NUMBER, Count, Distinct, Integer, Name, NotNegative, Number, Positive, Section

MOST_LEVELS = 10_000


@dataclass(frozen=True)
class LevelSpan:
    """Least and largest level of a scheme, what its levels are, and whether they are whole numbers."""

    low: float
    high: float
    what: str
    whole: bool = False

    def __contains__(self, level: float) -> bool:
        return self.low <= level <= self.high


WHOLE = LevelSpan(2, 65536, "levels are numbers of values, from 2 to 65536", whole=True)
FRACTION = LevelSpan(0, 1, "levels are fractions, from 0 to 1")


class Span(Section):
    """Levels from one to another."""

    first: Number = Field(ge=0, description="The first level.")
    last: Number = Field(ge=0, description="The last level.")
    ratio: Annotated[float, Field(gt=1), AS_NUMBER] | None = Field(None, description="Each level over the one before.")
    step: Positive | None = Field(None, description="Each level minus the one before.")

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, raw: Any) -> Any:
        given = set(raw) if isinstance(raw, dict) else set()
        if given <= set(cls.model_fields) and given not in ({"first", "last", "ratio"}, {"first", "last", "step"}):
            raise PydanticCustomError("text", "is not a span; give first, last, and either ratio or step")
        return raw

    @property
    def steps(self) -> float:
        """How many levels follow the first, before rounding; without end where they are multiples of 0."""
        if self.ratio is None:
            return (self.last - self.first) / self.step
        return math.log(self.last / self.first) / math.log(self.ratio) if self.first else math.inf


def _list_or_span(value: Any) -> str:
    return "span" if isinstance(value, dict | Span) else "list"


Levels = Annotated[
    Annotated[tuple[NotNegative, ...], Field(min_length=2, max_length=MOST_LEVELS), Distinct, Tag("list")]
    | Annotated[Span, Tag("span")],
    Discriminator(_list_or_span),
]


class Variant(Section):
    """The settings of one variant of a scheme."""

    def calibrated(self, key: str) -> Iterator[str]:
        """The keys of what looks at calibration blocks: that of the variant, or below it those of schemes within."""
        if self.looks_at_data:
            yield key

    @property
    def looks_at_data(self) -> bool:
        return False

    @property
    def tuned(self) -> bool:
        """Whether the loss chooses a parameter of it at every level."""
        return False


class Scheme(Section):
    """What every scheme has beside its variants."""

    span: ClassVar[LevelSpan]

    mode: Literal["search", "curve"] | None = Field(None, description="The mode of this scheme where it differs.")
    levels: Levels = Field(
        description="The levels, or the first, the last, and the ratio or the step from one to the next."
    )
    seeds: Annotated[tuple[Count, ...], Distinct] = Field(
        (0,),
        min_length=1,
        max_length=1000,
        description="Seeds, the same for every checkpoint; a variant in which nothing is random takes the first.",
    )


Parameters = Literal["linear", "matrices", "all"]
PARAMETERS = "The linear maps in the layers; these and the embeddings; or biases and norms too."
GROUP = "Inputs that share a range; 0 for one range an output channel."
DAMPING = "Added to the diagonal of E[x x^T], in units of its mean."


class QuantizeVariant(Variant):
    range: Literal["minimised", "maximum"] = Field(
        "minimised", description="m chosen to minimise the loss, or the largest magnitude."
    )
    scope: Literal["global", "tensor"] = Field(
        "global", description="One m for all quantized weights, or one a tensor."
    )
    parameters: Parameters = Field("all", description=PARAMETERS)

    @property
    def tuned(self) -> bool:
        return self.range == "minimised"


class Quantize(Scheme):
    """Every weight to the nearest of n_q equally spaced values in [-m, m]."""

    span = WHOLE
    variants: dict[Name, QuantizeVariant] = Field(min_length=1)


class RoundVariant(Variant):
    group: Integer = Field(0, ge=0, description=GROUP)
    parameters: Parameters = Field("linear", description=PARAMETERS)


class Round(Scheme):
    """Round-to-nearest with a range an output channel or a group; level n_q."""

    span = WHOLE
    variants: dict[Name, RoundVariant] = Field(min_length=1)


class KMeansVariant(Variant):
    iterations: Integer = Field(50, ge=0, le=10**6, description="Most steps of Lloyd's algorithm.")
    parameters: Parameters = Field("linear", description=PARAMETERS)


class KMeans(Scheme):
    """A codebook a tensor, fitted by k-means; level k, its entries."""

    span = WHOLE
    variants: dict[Name, KMeansVariant] = Field(min_length=1)


class GptqVariant(Variant):
    group: Integer = Field(0, ge=0, description=GROUP)
    damping: Number = Field(0.01, gt=0, description=DAMPING)
    block: Integer = Field(128, ge=1, description="Columns a block update.")
    parameters: Parameters = Field("linear", description=PARAMETERS)

    @property
    def looks_at_data(self) -> bool:
        return True


class Gptq(Scheme):
    """GPTQ (arXiv:2210.17323); level n_q. Needs calibration blocks."""

    span = WHOLE
    variants: dict[Name, GptqVariant] = Field(min_length=1)


class FactorizeVariant(Variant):
    weighting: Literal["none", "activations"] = Field(
        "none", description="Error of the weights, or of the outputs on calibration blocks (arXiv:2403.07378)."
    )
    skip_ends: Integer = Field(1, ge=0, description="Layers left alone at either end.")
    stride: Integer = Field(2, ge=1, description="Layers from one cut to the next.")
    damping: Number = Field(0.01, gt=0, description=DAMPING)

    @property
    def looks_at_data(self) -> bool:
        return self.weighting == "activations"


class Factorize(Scheme):
    """Truncated SVD; level the fraction of singular values cut."""

    span = FRACTION
    variants: dict[Name, FactorizeVariant] = Field(min_length=1)


class NoiseVariant(Variant):
    scale: Literal["relative", "absolute"] = Field(
        "relative", description="sigma in units of each tensor's standard deviation, or absolute."
    )
    parameters: Parameters = Field("all", description=PARAMETERS)


class Noise(Scheme):
    """Gaussian noise; level its scale sigma."""

    span = LevelSpan(1e-9, 1e9, "levels are scales, from 1e-9 to 1e9")
    variants: dict[Name, NoiseVariant] = Field(min_length=1)


class PruneVariant(Variant):
    score: Literal["magnitude", "wanda"] = Field(
        "magnitude",
        description="By |w|, or by |w| times the norm of its input (arXiv:2306.11695; calibration blocks).",
    )
    scope: Literal["global", "tensor", "row"] = Field(
        "tensor", description="Weights are compared over the model, within a tensor, or (Wanda's own choice) a row."
    )
    parameters: Parameters = Field("linear", description=PARAMETERS)

    @property
    def looks_at_data(self) -> bool:
        return self.score == "wanda"


class Prune(Scheme):
    """Unstructured pruning; level the fraction of weights set to zero."""

    span = FRACTION
    variants: dict[Name, PruneVariant] = Field(min_length=1)


class PruneHeadsVariant(Variant):
    score: Literal["random", "output_norm", "weight_norm"] = Field(
        "random", description="Which heads go first; output_norm needs calibration blocks."
    )
    retrain_steps: Integer = Field(
        0, ge=0, le=10**9, description="Steps of Adam on the calibration blocks after pruning."
    )
    retrain_lr: Number = Field(1.0e-4, gt=0, description="Their learning rate.")
    retrain_batch: Integer = Field(16, ge=1, description="Their blocks a step.")

    @property
    def looks_at_data(self) -> bool:
        return self.score == "output_norm" or self.retrain_steps > 0


class PruneHeads(Scheme):
    """Attention-head pruning; level the fraction of heads pruned."""

    span = FRACTION
    variants: dict[Name, PruneHeadsVariant] = Field(min_length=1)


class MotifsVariant(Variant):
    block: Integer = Field(4, ge=1, description="Weights a block.")
    choice: Literal["random", "kmeans"] = Field(
        "random", description="Motifs are blocks drawn at random, or these improved by k-means."
    )
    iterations: Integer = Field(10, ge=0, le=10**6, description="Steps of Lloyd's algorithm.")
    parameters: Parameters = Field("all", description=PARAMETERS)


class Motifs(Scheme):
    """Mosaic of motifs (arXiv:2602.14896); level the capacity, motifs over blocks."""

    span = LevelSpan(1e-9, 1, "levels are capacities above 0, at most 1")
    variants: dict[Name, MotifsVariant] = Field(min_length=1)


class _OneScheme(Section):
    """A scheme within a scheme: exactly one key."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    @model_validator(mode="before")
    @classmethod
    def _exactly_one(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and len(raw) != 1:
            what = "has {count} entries; give one of {names}, and below it its settings"
            raise PydanticCustomError("count", what, {"count": len(raw), "names": ", ".join(cls.model_fields)})
        return raw

    def calibrated(self, key: str) -> Iterator[str]:
        for name in self.model_fields_set:
            yield from getattr(self, name).calibrated(f"{key}.{name}")


class FirstScheme(_OneScheme):
    """The first scheme, by name, and its settings."""

    prune: PruneVariant | None = None
    prune_heads: PruneHeadsVariant | None = None
    factorize: FactorizeVariant | None = None


class SecondScheme(_OneScheme):
    """The second scheme, by name, and its settings."""

    quantize: QuantizeVariant | None = None
    round: RoundVariant | None = None
    kmeans: KMeansVariant | None = None
    gptq: GptqVariant | None = None


class SequenceVariant(Variant):
    first: FirstScheme
    first_level: Number = Field(ge=0, le=1, description="The level of the first scheme.")
    second: SecondScheme

    def calibrated(self, key: str) -> Iterator[str]:
        yield from self.first.calibrated(f"{key}.first")
        yield from self.second.calibrated(f"{key}.second")

    @property
    def tuned(self) -> bool:
        return self.second.quantize is not None and self.second.quantize.tuned


class Sequence(Scheme):
    """One scheme at a fixed level, then a second on what the first stores; level that of the second."""

    span = WHOLE
    variants: dict[Name, SequenceVariant] = Field(min_length=1)


def check_levels(key: str, scheme: Scheme) -> Iterator[str]:
    """Levels rise, are such as their scheme has, and are neither one alone nor without end."""
    levels = scheme.levels
    first, last = (levels.first, levels.last) if isinstance(levels, Span) else (min(levels), max(levels))
    if first >= last:
        yield f"{key}: first, {first}, is not below last, {last}"
        return
    if first not in scheme.span or last not in scheme.span:
        yield f"{key}: {first} to {last}; {scheme.span.what}"
    if not isinstance(levels, Span):
        parts = [level for level in levels if scheme.span.whole and level != round(level)]
        yield from (f"{key}: {level} is not a whole number; {scheme.span.what}" for level in parts)
    elif first == 0 and levels.ratio is not None:
        yield f"{key}: levels in a ratio cannot begin at 0"
    elif levels.steps >= MOST_LEVELS:
        yield f"{key}: that would be {levels.steps:.3g} levels; at most {MOST_LEVELS}"
    elif round(levels.steps) < 1:
        yield f"{key}: from {first} no further level is reached; a smaller ratio or step is needed"
