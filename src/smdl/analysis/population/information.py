"""Conditional mutual information of the signs of pairs, minimised over sets of factors (Jiang et al. 2020).

arXiv:1912.02178, section 3: V is the sign of the difference of two runs. I(V_x; V_y | U_S) / H(V_y | U_S) is 0 where
the predictor tells nothing of the outcome once the levels U_S of both runs in the factors S are known; the least value
over all S of up to two factors is what no choice of two factors explains away.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

MOST_FACTORS = 2


@dataclass(frozen=True)
class Information:
    """The least normalised information, the factors that are then known, and the number of pairs."""

    value: float
    given: tuple[str, ...]
    pairs: int


def information(
    x: np.ndarray, y: np.ndarray, strata: np.ndarray, runs: np.ndarray, levels: Mapping[str, np.ndarray]
) -> Information:
    """The information of ``x`` on ``y``, both (n,), over pairs of different runs of a stratum without a tie.

    ``levels`` holds per factor the number of each row's level, (n,). Each pair counts in both orders. It is the plain
    estimate from counts, which small cells push up: compare with that of predictors whose runs are exchanged.
    """
    first, second = np.nonzero((strata[:, None] == strata) & (runs[:, None] != runs))
    signs = np.sign(x[first] - x[second]) * np.sign(y[first] - y[second])
    kept = np.isfinite(signs) & (signs != 0)
    first, second = first[kept], second[kept]
    v_x, v_y = (side[first] > side[second] for side in (x, y))
    found = []
    for chosen in (known for size in range(MOST_FACTORS + 1) for known in combinations(sorted(levels), size)):
        cell = np.zeros(len(first), int)
        for factor in chosen:
            own = levels[factor]
            cell = (cell * (own.max() + 1) + own[first]) * (own.max() + 1) + own[second]
        found.append((_normalised(v_x, v_y, np.unique(cell, return_inverse=True)[1]), chosen))
    known = [own for own in found if np.isfinite(own[0])]
    value, given = min(known, default=(np.nan, ()))
    return Information(float(value), given, len(first) // 2)


def _normalised(v_x: np.ndarray, v_y: np.ndarray, cell: np.ndarray) -> float:
    """I(V_x; V_y | cell) / H(V_y | cell) from counts; NaN where the cell leaves nothing open."""
    if not len(cell):
        return np.nan
    counts = np.bincount(4 * cell + 2 * v_x + v_y, minlength=4 * (cell.max() + 1)).reshape(-1, 2, 2)
    joint, of_y, of_x, all_of = _entropy(counts), *(_entropy(counts.sum(axis)) for axis in (1, 2, (1, 2)))
    uncertainty = of_y - all_of
    return (of_x + of_y - joint - all_of) / uncertainty if uncertainty > 1e-12 else np.nan


def _entropy(counts: np.ndarray) -> float:
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log(p)).sum())
