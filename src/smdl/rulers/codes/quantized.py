"""Weights at a stated precision: each one of ``levels`` equally spaced values in [-m, m]."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from smdl.foundation.errors import StudyError


@dataclass(frozen=True)
class Quantized:
    """Codes 0..levels-1 of a group of weights that share one grid from ``-bound`` to ``bound``; codes are (N,).

    Where the bound is 0 all weights are zeros, and so are their codes.
    """

    codes: np.ndarray
    levels: int
    bound: float

    @property
    def step(self) -> float:
        """Distance between neighbouring values; 1 where the bound is 0, as any will do."""
        return 2 * self.bound / (self.levels - 1) or 1.0

    @property
    def values(self) -> np.ndarray:
        """What the codes stand for, (N,)."""
        return -self.bound + self.step * self.codes

    @property
    def edges(self) -> np.ndarray:
        """Borders of the cells, (levels + 1,)."""
        return -self.bound + self.step * (np.arange(self.levels + 1) - 0.5)

    @cached_property
    def counts(self) -> np.ndarray:
        """How often each code occurs, (levels,)."""
        return np.bincount(self.codes, minlength=self.levels)


def quantize(weights: np.ndarray, levels: int, bound: float | None = None) -> Quantized:
    """``weights`` (any shape) at the nearest of ``levels`` values in [-bound, bound]; bound None is the largest |w|."""
    if levels < 2:
        raise StudyError(f"a precision of {levels} levels cannot be coded; 2 is the least")
    flat = np.asarray(weights, dtype=np.float64).ravel()
    if not np.isfinite(flat).all():
        raise StudyError("weights to be coded hold values that are not finite")
    reach = float(np.abs(flat).max(initial=0.0)) if bound is None else bound
    scale = (levels - 1) / (2 * reach) if reach > 0 else 0.0
    codes = np.rint((np.clip(flat, -reach, reach) + reach) * scale)
    return Quantized(codes.astype(np.int32), levels, reach)
