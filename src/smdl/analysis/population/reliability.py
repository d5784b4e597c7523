"""Reliability of an estimate: the correlation of two that differ in their random numbers alone, within strata."""

import numpy as np

from smdl.analysis.population.partial import basis, indicators, pearson, residuals


def reliability(first: np.ndarray, second: np.ndarray, strata: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pearson's correlation of both, each (n,), less their strata's means; in each draw of ``weights``, (draws, n).

    Test and retest (Spearman 1910): the share of the variance within strata that is not the estimate's own noise.
    """
    within = basis([], indicators(strata), len(weights))
    sides = (np.broadcast_to(own, weights.shape) for own in (first, second))
    return pearson(*(residuals(own, within, weights) for own in sides), weights)
