"""The size of compressed weights in bits, counted so that a real encoder reaches it; the tests pack the codes."""

import math
from dataclasses import dataclass

SCALE_BITS = 32
"""A scale, a codebook entry, a zero point: kept as the float32 that the computation uses."""


@dataclass(frozen=True)
class Size:
    """``values`` numbers of ``bits_each``, plus ``overhead`` bits: scales, codebooks, masks, indices."""

    values: float
    bits_each: float
    overhead: float = 0.0

    @property
    def bits(self) -> float:
        """All bits together."""
        return self.values * self.bits_each + self.overhead


def code_bits(symbols: float) -> float:
    """Bits of one code of an alphabet of ``symbols``; n codes, written as one number in base ``symbols``, reach it."""
    return math.log2(symbols)


def subset_bits(elements: int, chosen: int) -> float:
    """Bits that say which ``chosen`` of ``elements`` are meant: log2 of the binomial coefficient (enumerative code)."""
    return (math.lgamma(elements + 1) - math.lgamma(chosen + 1) - math.lgamma(elements - chosen + 1)) / math.log(2)
