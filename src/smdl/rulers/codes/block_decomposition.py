"""The block decomposition method (BDM) of binary strings and matrices.

A string is cut into blocks of 12 bits, a matrix into blocks of 4 x 4, side by side. With n(b) occurrences of block b,

    BDM = sum over the distinct b of CTM(b) + log2 n(b)

CTM(b) = -log2 of the share of small Turing machines that write b and halt (coding theorem method), in bits. A block and
its complement have one value. ``ctm.npz`` holds those of pybdm 0.1.0 (benchmarks/bdm.py reads them; ctm.LICENSE.txt
says whose they are): binary strings of 1 to 12 bits and square matrices of side 1 to 4, none missing.

Sources: Zenil et al. (2018), Entropy 20(8):605 (BDM); Soler-Toscano et al. (2014), PLoS ONE 9(5):e96223 (CTM of
strings); Zenil et al. (2015), PeerJ Computer Science 1:e23 (CTM of matrices).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np

from smdl.foundation.errors import StudyError

Boundary = Literal["ignore", "recursive"]

# The side of a block, by the number of dimensions.
SIDES = {1: 12, 2: 4}
# Blocks of side 1 say nothing: both kinds have the same value.
SMALLEST_SIDE = 2


@dataclass(frozen=True)
class Decomposition:
    """The blocks of a string (1 dimension) or a matrix (2).

    ``counts`` has, by the side of a block, how often each kind occurs, (2 ** (side ** dimensions),): the place of a
    kind is its bits, row by row, as a binary number.
    """

    dimensions: int
    counts: dict[int, np.ndarray]

    @property
    def bits(self) -> int:
        """Bits that lie in blocks."""
        return sum(side**self.dimensions * int(counts.sum()) for side, counts in self.counts.items())

    @property
    def bdm(self) -> float:
        """The BDM, in bits; 0 where there is no block."""
        total = 0.0
        for side, counts in self.counts.items():
            seen = counts > 0
            total += (ctm(self.dimensions, side)[seen] + np.log2(counts[seen])).sum()
        return float(total)

    @property
    def kinds(self) -> float:
        """Share of the kinds of whole blocks that occur; at 1 the BDM grows with the logarithm of the length only."""
        whole = self.counts.get(SIDES[self.dimensions])
        return 0.0 if whole is None else float(np.mean(whole > 0))

    @property
    def random(self) -> tuple[float, float]:
        """Mean and variance of the BDM of random bits of the same shape, see ``random_blocks``."""
        parts = [random_blocks(self.dimensions, side, int(counts.sum())) for side, counts in self.counts.items()]
        return sum(mean for mean, _ in parts), sum(variance for _, variance in parts)


def decompose(bits: np.ndarray, boundary: Boundary = "ignore") -> Decomposition:
    """The blocks of ``bits``, a string (N,) or a matrix (N, M) of booleans or of 0 and 1.

    What is left at the borders is left out (``ignore``), or cut into the largest squares that fit, and so on down to
    side 2 (``recursive``); of a string it is one shorter block. Raises StudyError for other numbers of dimensions.
    """
    if bits.ndim not in SIDES:
        raise StudyError(f"an array of {bits.ndim} dimensions cannot be decomposed into blocks; it takes 1 or 2")
    counts: dict[int, np.ndarray] = {}
    waiting = [(bits[np.newaxis].astype(bool, copy=False), SIDES[bits.ndim])]
    while waiting:
        parts, side = waiting.pop()
        for tiles in _tiles(parts, side):
            if min(tiles.shape[1:]) == max(tiles.shape[1:]) == side:
                counts[side] = counts.get(side, 0) + np.bincount(_kinds(tiles), minlength=1 << side**bits.ndim)
            elif boundary == "recursive" and min(tiles.shape[1:]) >= SMALLEST_SIDE:
                waiting.append((tiles, min(tiles.shape[1:])))
    return Decomposition(bits.ndim, counts)


def _tiles(parts: np.ndarray, side: int) -> Iterator[np.ndarray]:
    """Cut equal ``parts`` (N, extents...) every ``side`` along each axis; yields tiles of one shape, (M, shape...)."""
    whole = [size - size % side for size in parts.shape[1:]]
    inside = [(slice(end), side) for end in whole]
    rest = [(slice(end, None), size - end) for end, size in zip(whole, parts.shape[1:], strict=True)]
    for choice in product(*zip(inside, rest, strict=True)):
        places, shape = zip(*choice, strict=True)
        piece = parts[:, *places]
        if piece.size:
            split = [n for extent, size in zip(piece.shape[1:], shape, strict=True) for n in (extent // size, size)]
            axes = range(1, 1 + len(split))
            yield piece.reshape(-1, *split).transpose(0, *axes[::2], *axes[1::2]).reshape(-1, *shape)


def _kinds(tiles: np.ndarray) -> np.ndarray:
    """The bits of each tile as a binary number, (M,)."""
    flat = tiles.reshape(len(tiles), -1)
    packed = np.packbits(flat, axis=1).astype(np.int32)
    number = packed[:, 0]
    for place in range(1, packed.shape[1]):
        number = number << 8 | packed[:, place]
    return number >> (-flat.shape[1] % 8)


@cache
def ctm(dimensions: int, side: int) -> np.ndarray:
    """The CTM value of every kind of block in bits, (2 ** (side ** dimensions),)."""
    with np.load(Path(__file__).parent / "ctm.npz", allow_pickle=False) as tables:
        half = tables["x".join(dimensions * [str(side)])]
    # The complement of a kind stands at the mirrored place.
    return np.concatenate([half, half[::-1]])


@cache
def random_blocks(dimensions: int, side: int, blocks: int) -> tuple[float, float]:
    """Mean and variance (bits, bits^2) of the BDM of independent random ``blocks``, every kind equally probable.

    The mean is exact. The variance is that of independent Poisson counts given their sum (in the normal limit): right
    within some per cent from a hundred blocks on, within a bit of standard deviation below.
    """
    # Slow to import; the ruler is declared without it.
    from scipy import stats

    values = ctm(dimensions, side)
    kinds, rate = len(values), blocks / len(values)
    n = np.arange(1, min(blocks, int(rate + 12 * rate**0.5 + 40)) + 1)
    log = np.log2(n)
    exact = stats.binom.pmf(n, blocks, 1 / kinds)
    mean = values.sum() * exact.sum() + kinds * exact @ log

    p = stats.poisson.pmf(n, rate)
    seen, log_mean = p.sum(), p @ log
    own = values**2 * seen * (1 - seen) + 2 * values * log_mean * (1 - seen) + p @ log**2 - log_mean**2
    with_count = values * rate * (1 - seen) + p @ (n * log) - rate * log_mean
    return float(mean), float(max(own.sum() - with_count.sum() ** 2 / blocks, 0.0))
