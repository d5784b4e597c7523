"""Weights at a stated precision: each one of ``levels`` equally spaced values in [-m, m]."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from smdl.errors import StudyError


@dataclass(frozen=True)
class Quantized:
    """Codes 0..levels-1 of a group of weights that share one grid from ``-bound`` to ``bound``; codes are (N,)."""

    codes: np.ndarray
    levels: int
    bound: float

    @property
    def step(self) -> float:
        """Distance between neighbouring values."""
        return 2 * self.bound / (self.levels - 1)

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
    largest = float(np.abs(flat).max(initial=0.0)) if bound is None else bound
    # all-zero groups (fresh biases) get a grid of unit size: any grid will do
    reach = largest if largest > 0 else 1.0
    codes = np.rint((np.clip(flat, -reach, reach) + reach) * ((levels - 1) / (2 * reach)))
    return Quantized(codes.astype(np.int32), levels, reach)
