"""Convergence of the chains, by the standard statistics of Markov chain Monte Carlo (Vehtari, arXiv:1903.08008)."""

from dataclasses import dataclass

import numpy as np
from arviz_stats.base import array_stats

AXES = {"chain_axis": 0, "draw_axis": 1}


@dataclass(frozen=True)
class Diagnostics:
    """What the draws of one estimate say of its convergence; see the columns of the table ``llc`` for the meaning."""

    se: float
    r_hat: float
    ess: float
    drift: float
    spike: float
    negative: float


def standard_error(values: np.ndarray) -> float:
    """Standard error of the mean of ``values``, shape (chains, draws), chains >= 2.

    It is the larger of two: the Monte Carlo error that autocorrelation within the chains gives, and the error that the
    spread of the chains' means gives. The first alone is too small where the chains have not mixed.
    """
    within = float(array_stats.mcse(values, method="mean", **AXES))
    between = float(values.mean(axis=1).std(ddof=1) / np.sqrt(len(values)))
    return max(within, between)


def r_hat(values: np.ndarray) -> float:
    """Rank-normalised R-hat of ``values``, shape (chains, draws), chains >= 2, draws >= 4."""
    return float(array_stats.rhat(values, method="rank", **AXES))


def diagnose(excess: np.ndarray) -> Diagnostics:
    """Diagnostics of ``excess``, the paired excess losses after burn-in, shape (chains, draws), chains >= 2."""
    draws = excess.shape[1]
    halves = excess[:, : draws // 2], excess[:, draws - draws // 2 :]
    difference = halves[1].mean(axis=1) - halves[0].mean(axis=1)
    difference_se = np.hypot(*(float(array_stats.mcse(half, method="mean", **AXES)) for half in halves))
    spread = excess.std()
    return Diagnostics(
        se=standard_error(excess),
        r_hat=r_hat(excess),
        ess=float(array_stats.ess(excess, method="bulk", **AXES)),
        drift=float(difference.mean() / difference_se),
        spike=float((excess.max() - np.median(excess)) / spread),
        negative=float((excess < 0).mean()),
    )
