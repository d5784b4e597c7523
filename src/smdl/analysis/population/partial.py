"""Kendall's and Spearman's correlation with other predictors held fixed, within strata.

Kendall's own partial tau (1942) is made of the taus of the pairs, and does not vanish where two quantities have
nothing in common but a third (Korn 1984, The American Statistician 38:61): where both correlate with it by 0.9 it is
0.19. In a population in which all follows the loss it would find what is not there. So what is held fixed is taken out
first, by least squares on normal scores (van der Waerden), and tau is that of the residuals: under a Gaussian copula it
is 0 where there is nothing, and (2 / pi) asin of the partial correlation elsewhere. Spearman's correlation is that of
the residuals of ranks.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

# What is left of a quantity that the others explain wholly is rounding.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Partial:
    """Correlations of one predictor with one outcome, each of shape (draws,); draw 0 is the sample itself."""

    tau: np.ndarray
    partial_tau: np.ndarray
    partial_spearman: np.ndarray


def partial(x: np.ndarray, y: np.ndarray, given: np.ndarray, strata: np.ndarray, weights: np.ndarray) -> Partial:
    """Correlations of ``x`` and ``y``, both (n,), within strata: plain, and with ``given``, (n, k), held fixed.

    ``strata`` is (n,), a label per row, ``weights`` (draws, n): how often a draw has the row. NaN where a side does not
    vary, or is explained wholly by the others.
    """
    ranked = {name: ranks(side, weights) for name, side in (("x", x), ("y", y))}
    held = [ranks(column, weights) for column in given.T]
    within = indicators(strata)
    scores = {name: normal_scores(own, weights) for name, own in ranked.items()}
    held_scores = basis([normal_scores(own, weights) for own in held], within, len(weights))
    alone = basis([], within, len(weights))
    return Partial(
        tau=kendall(*(residuals(scores[name], alone, weights) for name in "xy"), weights),
        partial_tau=kendall(*(residuals(scores[name], held_scores, weights) for name in "xy"), weights),
        partial_spearman=pearson(
            *(residuals(ranked[name], basis(held, within, len(weights)), weights) for name in "xy"), weights
        ),
    )


def permutation_p(x: np.ndarray, y: np.ndarray, given: np.ndarray, strata: np.ndarray, orders: np.ndarray) -> float:
    """Two-sided p value of the partial tau: the share of ``orders``, (count, n), with a tau at least as far from 0.

    The residuals of ``x`` are put in another order, the sample's own counted too. Exchangeable are rows of a stratum
    (smdl.analysis.population.resampling.exchanges).
    """
    sample = np.ones((1, len(x)))
    held = basis([normal_scores(ranks(own, sample), sample) for own in given.T], indicators(strata), 1)
    left = [residuals(normal_scores(ranks(side, sample), sample), held, sample)[0] for side in (x, y)]
    if not np.isfinite(left).all():
        return np.nan
    ordered = np.concatenate([left[0][None], left[0][orders]])
    taus = np.abs(kendall(ordered, np.broadcast_to(left[1], ordered.shape), np.ones_like(ordered)))
    return float((taus >= taus[0] - ROUNDING).sum() / len(taus))


def ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average ranks of ``values``, (n,), among the rows of each draw; shape (draws, n)."""
    less, equal = (np.asarray(test, float) for test in (values < values[:, None], values == values[:, None]))
    return weights @ less.T + (weights @ equal.T + 1) / 2


def normal_scores(ranked: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Van der Waerden's scores of ranks, (draws, n)."""
    return ndtri(ranked / (weights.sum(axis=1, keepdims=True) + 1))


def indicators(strata: np.ndarray) -> np.ndarray:
    """A column of 0 and 1 per stratum: shape (n, strata)."""
    return (strata[:, None] == np.unique(strata)).astype(float)


def basis(held: list[np.ndarray], within: np.ndarray, draws: int) -> np.ndarray:
    """The columns that are taken out, shape (draws, n, k): those of ``held``, each (draws, n), and the strata's."""
    return np.concatenate([*(own[..., None] for own in held), np.broadcast_to(within, (draws, *within.shape))], axis=-1)


def residuals(values: np.ndarray, columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """What least squares on ``columns``, (draws, n, k), leaves of ``values``, (draws, n), rows counted by weights.

    NaN in a draw in which nothing is left.
    """
    # Of length one, so that what counts as rounding does not depend on units.
    weighted = columns * np.sqrt(weights)[..., None]
    length = np.sqrt((weighted**2).sum(axis=1))
    unit = weighted / np.where(length > 0, length, 1)[:, None, :]
    own = values * np.sqrt(weights)
    coefficients = np.linalg.pinv(np.swapaxes(unit, 1, 2) @ unit, rcond=ROUNDING, hermitian=True) @ (
        np.swapaxes(unit, 1, 2) @ own[..., None]
    )
    left = values - ((columns / np.where(length > 0, length, 1)[:, None, :]) @ coefficients)[..., 0]
    seen = (weights * left**2).sum(axis=1) > ROUNDING * (weights * values**2).sum(axis=1)
    return np.where(seen[:, None], left, np.nan)


def kendall(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Kendall's tau-b of each draw; all arguments (draws, n), result (draws,). NaN where a side is one tie."""
    return np.array([_tau(*draw) for draw in zip(x, y, weights.astype(np.float32), strict=True)])


def _tau(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> float:
    if np.isnan(x).any() or np.isnan(y).any():
        return np.nan
    # A draw leaves out a third of the rows.
    drawn = weights > 0
    x, y, weights = x[drawn], y[drawn], weights[drawn]
    x_above, y_above = x[:, None] > x, y[:, None] > y

    def pairs(which: np.ndarray) -> float:
        return float(weights @ which.astype(np.float32) @ weights)

    untied = np.sqrt(pairs(x_above) * pairs(y_above))
    return (pairs(x_above & y_above) - pairs(x_above & y_above.T)) / untied if untied else np.nan


def pearson(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The correlation of residuals, whose means are 0, in each draw; all arguments (draws, n)."""
    xy, xx, yy = ((weights * product).sum(axis=1) for product in (x * y, x * x, y * y))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.clip(xy / np.sqrt(xx * yy), -1, 1)
