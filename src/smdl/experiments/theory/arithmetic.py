"""Arithmetic coding in exact integers: bits within two of the ideal code length, and nothing lost to rounding.

A message's interval in [0, 1) is kept as an exact fraction, which costs time quadratic in the message's length: meant
for up to some ten thousand symbols.
"""

from bisect import bisect_right
from collections.abc import Sequence

Cumulative = Sequence[int]
"""Cumulative integer frequencies of an alphabet: 0, f_0, f_0 + f_1, ..., total; no frequency of a used symbol is 0."""


class Encoder:
    """Narrows an interval symbol by symbol; ``bits`` then names a dyadic interval inside it."""

    def __init__(self) -> None:
        self._low, self._width, self._total = 0, 1, 1

    def put(self, symbol: int, cumulative: Cumulative) -> None:
        """Append a symbol of an alphabet with the given frequencies."""
        self._low = self._low * cumulative[-1] + self._width * cumulative[symbol]
        self._width *= cumulative[symbol + 1] - cumulative[symbol]
        self._total *= cumulative[-1]

    def bits(self) -> str:
        """The codeword, ceil(log2(1 / P)) + 1 bits for symbols of joint probability P (Shannon, Fano, Elias).

        Codewords are prefix-free: each is a dyadic interval within its message's own interval.
        """
        length = (-(-self._total // self._width) - 1).bit_length() + 1
        return format(-(-(self._low << length) // self._total), f"0{length}b")


class Decoder:
    """Reads back what an Encoder wrote, given the same frequencies in the same order."""

    def __init__(self, bits: str) -> None:
        # The point as a fraction of the current interval: value / total.
        self._value, self._total = int(bits, 2), 1 << len(bits)

    def get(self, cumulative: Cumulative) -> int:
        """The next symbol."""
        scaled = self._value * cumulative[-1]
        symbol = bisect_right(cumulative, scaled // self._total) - 1
        self._value = scaled - cumulative[symbol] * self._total
        self._total *= cumulative[symbol + 1] - cumulative[symbol]
        return symbol
