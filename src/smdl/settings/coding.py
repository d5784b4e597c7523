"""Section ``coding``: the rulers beside the LLC."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from smdl.settings.base import AS_INTEGER, Distinct, Flag, Integer, Name, Number, Section, section
from smdl.settings.schemes import Schemes

Precision = Annotated[int, Field(ge=2, le=65536), AS_INTEGER]


class Lengths(Section):
    """Coding lengths and two-part totals."""

    enabled: Flag = Field(True, description="Whether to take them; needs the scheme quantize.")
    levels: Annotated[tuple[Precision, ...], Distinct] = Field(
        (16, 256), min_length=1, max_length=100, description="Stated precisions (values a weight can take)."
    )
    variant: Name = Field(
        "minimised", description="Variant of the scheme quantize whose curve the two-part totals follow."
    )
    block: Integer = Field(4, ge=1, description="Weights a motif of the dictionary code.")


class BitsBack(Section):
    """Noisy weights fitted to each checkpoint (Hinton and van Camp 1993)."""

    enabled: Flag = Field(True, description="Whether to take it.")
    steps: Integer = Field(200, ge=1, le=10**9, description="Updates of the noise.")
    lr: Number = Field(0.05, gt=0, description="Adam's rate on log deviations.")
    batch_size: Integer = Field(16, ge=1, description="Token blocks a minibatch.")
    initial_std: Number = Field(
        0.01,
        gt=0,
        description="Initial deviation over that of all weights; small, as deviations rise faster than they fall.",
    )
    train_means: Flag = Field(False, description="Whether the means of the weights move as well.")
    samples: Integer = Field(8, ge=2, le=10**6, description="Sampled weights behind the expected loss.")


class Proxies(Section):
    """Compressors on the bytes of a checkpoint, sparsity and norms."""

    enabled: Flag = Field(True, description="Whether to take them.")
    levels: Integer = Field(256, ge=2, le=65536, description="Precision of the quantized codes.")


class Coding(Section):
    """The neighbouring rulers beside the LLC - coding lengths, bits back, complexity proxies."""

    tokens: Number = Field(
        1.0e6,
        gt=0,
        description="n of the two-part totals and of bits back, the tokens of data that the weights are to pay for.",
    )
    components: Integer = Field(5, ge=1, le=1000, description="Gaussians of the mixture priors.")
    bootstrap_resamples: Integer = Field(500, ge=100, le=10**6, description="Resamples behind each interval.")
    lengths: Lengths = section()
    bits_back: BitsBack = section()
    proxies: Proxies = section()


def check_coding(coding: Coding, schemes: Schemes) -> Iterator[str]:
    """The curve that the two-part totals follow is measured."""
    variants = schemes.quantize.variants if schemes.quantize else {}
    lengths = coding.lengths
    if lengths.enabled and lengths.variant not in variants:
        listed = ", ".join(variants) or "none, as the scheme is not there; set coding.lengths.enabled to false"
        yield f"coding.lengths.variant: {lengths.variant!r} is not a variant of the scheme quantize: {listed}"
