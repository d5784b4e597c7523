"""Granulated Kendall's tau and robust sign error: does a predictor follow what one factor alone changes?

Granulated tau: Jiang et al. (2020), arXiv:1912.02178, section 3. Sign error over coupled pairs, each weighted by how
sure its order is, the worst environment beside the mean: Dziugaite et al. (2020), arXiv:2010.11924, section 3; an
environment is a factor here.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from smdl.analysis.population.pairs import agreement, real


@dataclass(frozen=True)
class Granulated:
    """By factor, in alphabetical order: ``tau`` and ``sign_error`` are (factors, draws), draw 0 the sample itself.

    ``pairs`` and ``groups`` count those that both predictor and outcome have.
    """

    factors: list[str]
    tau: np.ndarray
    sign_error: np.ndarray
    pairs: list[int]
    groups: list[int]

    @property
    def mean_tau(self) -> np.ndarray:
        """The mean over the factors that have it, shape (draws,)."""
        return _over_factors(np.nanmean, self.tau)

    @property
    def worst_sign_error(self) -> np.ndarray:
        """The largest over the factors that have it, shape (draws,)."""
        return _over_factors(np.nanmax, self.sign_error)


def granulated(
    x: np.ndarray, y: np.ndarray, y_se: np.ndarray, pairs: pd.DataFrame, point_weights: np.ndarray
) -> Granulated:
    """Both statistics of a predictor ``x`` and an outcome ``y`` with standard errors ``y_se``, all (n,).

    ``pairs`` is as made by smdl.analysis.population.pairs.coupled; ``point_weights``, (draws, n), says how often the
    base point of a row was drawn. tau is the mean over the groups of a factor of the mean agreement of a group's pairs;
    the sign error is half of 1 minus the agreement, averaged by how sure each pair's order is.
    """
    agreed = agreement(x, y, pairs)
    weight = real(y, y_se, pairs)
    factors = sorted(pairs["factor"].unique())
    tau, error = np.full((2, len(factors), len(point_weights)), np.nan)
    counted = []
    for place, factor in enumerate(factors):
        own = np.flatnonzero((pairs["factor"] == factor).to_numpy() & np.isfinite(agreed))
        drawn = point_weights[:, pairs["first"].to_numpy(int)[own]]
        # Every group counts once, however many pairs it has.
        _, group, size = np.unique(pairs["group"].to_numpy()[own], return_inverse=True, return_counts=True)
        tau[place] = _mean(agreed[own], drawn / size[group] if len(own) else drawn)
        error[place] = _mean((1 - agreed[own]) / 2, drawn * weight[own])
        counted.append((len(own), len(size)))
    return Granulated(factors, tau, error, [pairs for pairs, _ in counted], [groups for _, groups in counted])


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return (weights @ values) / weights.sum(axis=1)


def _over_factors(of: np.ufunc, by_factor: np.ndarray) -> np.ndarray:
    known = np.isfinite(by_factor).any(axis=0)
    found = np.full(by_factor.shape[1], np.nan)
    if known.any():
        found[known] = of(by_factor[:, known], axis=0)
    return found
