"""Section ``compression``: the tolerances, the headline, and the schemes to run."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from smdl.settings.base import Distinct, Integer, Name, Number, Positive, Section
from smdl.settings.corpus import CorpusText
from smdl.settings.schemes import Schemes, check_levels


class Headline(Section):
    """The regression that the study is about."""

    scheme: Name = Field(description="A scheme of this config.")
    variant: Name = Field(description="One of its variants.")
    epsilon: Number = Field(gt=0, description="One of the tolerances (nats).")


class Measurement(Section):
    """How the rise of the loss is measured, and where a level is critical."""

    batch_size: Integer = Field(32, ge=1, description="Token blocks a forward pass.")
    dense_bits: Integer = Field(16, ge=1, le=64, description="Bits of a weight that a scheme leaves alone.")
    epsilons: Annotated[tuple[Positive, ...], Distinct] = Field(
        (0.3, 0.5, 0.7), min_length=1, max_length=100, description="Tolerances (nats a token)."
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
