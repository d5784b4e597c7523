"""Regression of an outcome on a predictor and on what is held fixed: mixed model, errors in variables, prediction.

All quantities enter in units of their standard deviation; one that is positive throughout enters by its logarithm,
since critical bits are logarithms of a scale: the rule is the same for every predictor and for what is held fixed.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from smdl.analysis.population.partial import ROUNDING, indicators


@dataclass(frozen=True)
class Mixed:
    """Slope of the predictor in a model with a random intercept per base point, and that intercept's share."""

    slope: float
    slope_se: float
    p: float
    point_share: float
    status: str


NO_FIT = Mixed(np.nan, np.nan, np.nan, np.nan, "no fit")


def standardised(values: np.ndarray, errors: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """``values``, (n,), with mean 0 and deviation 1, of their logarithms where all are positive; and their errors.

    What does not vary becomes 0.
    """
    errors = np.zeros(len(values)) if errors is None else np.nan_to_num(errors)
    if (values > 0).all():
        values, errors = np.log(values), errors / values
    spread = values.std()
    if spread <= ROUNDING * max(np.abs(values).max(initial=0), 1e-300):
        return np.zeros(len(values)), np.zeros(len(values))
    return (values - values.mean()) / spread, errors / spread


def mixed(x: np.ndarray, y: np.ndarray, given: np.ndarray, strata: np.ndarray, points: np.ndarray) -> Mixed:
    """Outcome ``y`` on ``x``, ``given`` (n, k) and the strata, with a random intercept per base point.

    By restricted maximum likelihood (Laird and Ware 1982, Biometrics 38:963); the p value is Wald's. ``status`` says
    where the fit did not converge: it then has no numbers.
    """
    import statsmodels.api as sm

    columns = [standardised(own)[0] for own in (x, *given.T)]
    design = np.column_stack([own for own in columns if own.any()] + [indicators(strata)])
    if not columns[0].any() or np.linalg.matrix_rank(design) < design.shape[1] or len(y) <= design.shape[1] + 2:
        return NO_FIT
    with warnings.catch_warnings():
        # Whether it converged is read from the result.
        warnings.simplefilter("ignore")
        try:
            fit = sm.MixedLM(standardised(y)[0], design, groups=points).fit(reml=True)
        except np.linalg.LinAlgError:
            return NO_FIT
    if not fit.converged or not np.isfinite(fit.bse[0]):
        return Mixed(np.nan, np.nan, np.nan, np.nan, "not converged")
    between = float(fit.cov_re[0, 0]) if fit.cov_re.size else 0.0
    share = between / (between + fit.scale)
    return Mixed(float(fit.params[0]), float(fit.bse[0]), float(fit.pvalues[0]), share, "ok")


def slope_with_errors(
    x: np.ndarray,
    y: np.ndarray,
    given: np.ndarray,
    strata: np.ndarray,
    errors: Mapping[int, np.ndarray],
    weights: np.ndarray,
) -> np.ndarray:
    """Slope of ``x`` where it and others are known with errors, in each draw of ``weights`` (draws, n): (draws,).

    The method of moments with known errors (Fuller 1987, Measurement Error Models, section 2.2): their variances are
    taken off the moments. ``errors`` holds standard errors, (n,), by column: 0 is ``x``, 1 and on those of ``given``.
    NaN where the errors leave nothing of a variance.
    """
    pairs = [standardised(own, errors.get(place)) for place, own in enumerate((x, *given.T))]
    used = [pair for pair in pairs if pair[0].any()]
    if not pairs[0][0].any():
        return np.full(len(weights), np.nan)
    within = indicators(strata)
    columns = np.column_stack([*(own for own, _ in used), within])
    variances = np.column_stack([*(error**2 for _, error in used), np.zeros_like(within)])
    moments = np.einsum("dn,ni,nj->dij", weights, columns, columns, optimize=True)
    noise = weights @ variances
    moments -= noise[:, None, :] * np.eye(columns.shape[1])
    right = (weights * standardised(y)[0]) @ columns
    values, vectors = np.linalg.eigh(moments)
    # A stratum that a draw lacks has moments of 0, which the pseudo-inverse passes over.
    sound = values.min(axis=1) > -ROUNDING * values.max(axis=1)
    inverse = np.where(values > ROUNDING * values.max(axis=1, keepdims=True), 1 / np.where(values == 0, 1, values), 0)
    slopes = np.einsum("di,dki,dk->d", vectors[:, 0, :] * inverse, vectors, right, optimize=True)
    return np.where(sound, slopes, np.nan)


@dataclass(frozen=True)
class Prediction:
    """Mean squared errors of left-out levels, each (draws,), in units of the outcome's variance."""

    without: np.ndarray
    with_predictor: np.ndarray
    levels: int

    @property
    def gain(self) -> np.ndarray:
        """By what share the error is lower with the predictor."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return 1 - self.with_predictor / self.without


def left_out_levels(
    x: np.ndarray,
    y: np.ndarray,
    given: np.ndarray,
    strata: np.ndarray,
    levels: np.ndarray,
    weights: np.ndarray,
) -> Prediction:
    """Each level of a factor foretold from the others by least squares on ``given`` and the strata, and on ``x`` too.

    ``levels`` numbers the level of each row, (n,): a factor's level that was never seen is a harder question than a
    row left out, and the one that a user asks. Draws of ``weights`` are (draws, n). NaN where there is one level.
    """
    numbers = np.unique(levels)
    target = standardised(y)[0]
    without = np.column_stack([*(standardised(own)[0] for own in given.T), indicators(strata)])
    designs = (without, np.column_stack([without, standardised(x)[0]]))
    if len(numbers) < 2:
        return Prediction(*np.full((2, len(weights)), np.nan), len(numbers))
    errors = [sum(_squared_errors(design, target, levels == own, weights) for own in numbers) for design in designs]
    return Prediction(*(error / weights.sum(axis=1) for error in errors), len(numbers))


def _squared_errors(design: np.ndarray, y: np.ndarray, left_out: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted sum of squared errors in the rows ``left_out`` of the fit to the others, in each draw."""
    kept = weights[:, ~left_out]
    moments = np.einsum("dn,ni,nj->dij", kept, design[~left_out], design[~left_out], optimize=True)
    right = (kept * y[~left_out]) @ design[~left_out]
    coefficients = (np.linalg.pinv(moments, rcond=ROUNDING, hermitian=True) @ right[..., None])[..., 0]
    return (weights[:, left_out] * (y[left_out] - coefficients @ design[left_out].T) ** 2).sum(axis=1)
