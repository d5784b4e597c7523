"""Section ``compression``: the tolerances, the headline, and the schemes to run.

Of every scheme its levels, and its variants with the settings that its class declares.
"""

import math
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Discriminator, Field, Tag, create_model, model_validator
from pydantic_core import PydanticCustomError

from smdl.compression.registry import SCHEMES
from smdl.compression.scheme import NUMBERS_OF_VALUES, Scheme
from smdl.corpus.settings import CorpusText
from smdl.settings.base import AS_NUMBER, Count, Distinct, Integer, Name, NotNegative, Number, Positive, Section

MOST_LEVELS = 10_000


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


class SchemeSettings(Section):
    """What every scheme has beside its variants."""

    scheme: ClassVar[type[Scheme]]

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
    variants: dict[Name, Scheme]


def _of_scheme(scheme: type[Scheme]) -> type[SchemeSettings]:
    """The section of one declared scheme, whose variants have the settings that its class declares."""
    variants = (dict[Name, scheme], Field(min_length=1))
    made = create_model(
        f"{scheme.__name__}Settings", __base__=SchemeSettings, __doc__=scheme.__doc__, variants=variants
    )
    made.scheme = scheme
    return made


SETTINGS = {name: _of_scheme(scheme) for name, scheme in SCHEMES.items()}
"""The section of every declared scheme, by the scheme's name."""


class _Schemes(Section):
    """The schemes to run, each with its levels and its variants by name."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    @model_validator(mode="after")
    def _one_or_more(self) -> Self:
        if not self.present():
            raise PydanticCustomError("count", "has 0 entries; at least 1")
        return self

    def present(self) -> dict[str, SchemeSettings]:
        """The schemes of this study by name."""
        return {name: scheme for name in type(self).model_fields if (scheme := getattr(self, name)) is not None}


Schemes = create_model(
    "Schemes",
    __base__=_Schemes,
    __doc__=_Schemes.__doc__,
    **{name: (own | None, None) for name, own in SETTINGS.items()},
)


def check_levels(key: str, settings: SchemeSettings) -> Iterator[str]:
    """Levels rise, are such as their scheme has, and are neither one alone nor without end."""
    levels, known = settings.levels, settings.scheme.levels
    first, last = (levels.first, levels.last) if isinstance(levels, Span) else (min(levels), max(levels))
    if first >= last:
        yield f"{key}: first, {first}, is not below last, {last}"
        return
    if first not in known or last not in known:
        yield f"{key}: {first} to {last}; {known.meaning}"
    if not isinstance(levels, Span):
        parts = [level for level in levels if known == NUMBERS_OF_VALUES and level != round(level)]
        yield from (f"{key}: {level} is not a whole number; {known.meaning}" for level in parts)
    elif first == 0 and levels.ratio is not None:
        yield f"{key}: levels in a ratio cannot begin at 0"
    elif levels.steps >= MOST_LEVELS:
        yield f"{key}: that would be {levels.steps:.3g} levels; at most {MOST_LEVELS}"
    elif round(levels.steps) < 1:
        yield f"{key}: from {first} no further level is reached; a smaller ratio or step is needed"


class Headline(Section):
    """The regression that the study is about."""

    scheme: Name = Field(description="A scheme of this config.")
    variant: Name = Field(description="One of its variants.")
    epsilon: Number = Field(gt=0, description="One of the tolerances (nats).")


class Measurement(Section):
    """How the rise of the loss is measured, and where a level is critical."""

    batch_size: Integer = Field(32, ge=1, description="Token blocks per forward pass.")
    dense_bits: Integer = Field(16, ge=1, le=64, description="Bits of a weight that a scheme leaves alone.")
    epsilons: Annotated[tuple[Positive, ...], Distinct] = Field(
        (0.3, 0.5, 0.7), min_length=1, max_length=100, description="Tolerances (nats per token)."
    )
    mode: Literal["search", "curve"] = Field(
        "search",
        description="search - only the levels it takes to bracket the tolerances;"
        " curve - every level, for full curves.",
    )
    error_rate: Number = Field(
        0.01,
        gt=0,
        lt=0.5,
        description="Most probable share of early stops that put a level on the wrong side of a tolerance.",
    )


class Compression(Measurement):
    """What is done to the weights, and how far until the loss has risen by epsilon."""

    headline: Headline
    schemes: Schemes


def check_compression(compression: Compression, corpus: CorpusText) -> Iterator[str]:
    """The headline is one that is measured, levels are levels, and what looks at data has data."""
    yield from _check_headline(compression)
    for name, scheme in compression.schemes.present().items():
        key = f"compression.schemes.{name}"
        yield from check_levels(f"{key}.levels", scheme)
        for variant, own in scheme.variants.items():
            if not corpus.blocks.calibration:
                for looking in own.calibrated(f"{key}.variants.{variant}"):
                    yield f"corpus.blocks.calibration: is 0, but {looking} needs calibration blocks"


def _check_headline(compression: Compression) -> Iterator[str]:
    headline, schemes = compression.headline, compression.schemes.present()
    if headline.scheme not in schemes:
        yield f"compression.headline.scheme: {headline.scheme!r} is not one of {', '.join(schemes)}"
    elif headline.variant not in (variants := schemes[headline.scheme].variants):
        yield f"compression.headline.variant: {headline.variant!r} is not one of {', '.join(variants)}"
    if headline.epsilon not in compression.epsilons:
        listed = ", ".join(map(str, compression.epsilons))
        yield f"compression.headline.epsilon: {headline.epsilon} is not one of epsilons, {listed}"
