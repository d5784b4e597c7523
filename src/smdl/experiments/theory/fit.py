"""Learning coefficient and multiplicity from a curve, with an interval that shows what the curve cannot decide.

Volumes and redundancies obey one law. With L = log(1/eps) and y = -log Vol, or L = log n and y = R_n,

    y = lambda L - (m - 1) log(L + shift) + constant,

where the shift is the next coefficient of the polynomial in L that multiplies eps^lambda: leaving it out bends the fit
by 1/L, which no reachable eps makes small.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.stats import t as student

# The shift is about the log of K's largest value on the box plus m: no volume here comes to more than 8, and no code,
# whose K is a divergence of a nat or so, to more than 4. A multiplicity that would need more bends the line with
# something else than its logarithm, and is not considered.
LARGEST_VOLUME_SHIFT, LARGEST_CODE_SHIFT = 8.0, 4.0
# Multiplicities this much worse by the Bayesian information criterion are ruled out (Kass, Raftery 1995: "strong").
RULED_OUT = 6.0
# Relative size of errors (rounding, quadrature) below which a misfit of an exact curve says nothing.
EXACT_ERROR = 1e-7


@dataclass(frozen=True)
class Fit:
    """Fitted learning coefficient with its interval, and multiplicity with the smallest and largest not ruled out."""

    learning_coefficient: float
    low: float
    high: float
    multiplicity: int
    multiplicity_low: int
    multiplicity_high: int
    shift: float
    constant: float

    def curve(self, logs: np.ndarray) -> np.ndarray:
        """The fitted y at ``logs`` (L in nats)."""
        penalty = (self.multiplicity - 1) * np.log(logs + self.shift)
        return self.learning_coefficient * logs - penalty + self.constant


def fit_exponent(
    logs: np.ndarray,
    curves: np.ndarray,
    largest: int,
    accumulating: bool,
    confidence: float,
    largest_shift: float = LARGEST_VOLUME_SHIFT,
) -> Fit:
    """Fit the law to ``curves`` (replicates, points) at ``logs`` (points,), rising; replicates are independent.

    ``accumulating`` says that a curve's error grows along it as a random walk (splitting) instead of being independent
    from point to point (redundancy, exact integrals). Multiplicities 1..``largest`` are compared by the Bayesian
    information criterion, their shifts at most ``largest_shift``. The half width of the interval is
    Student's quantile times the jackknife error over replicates plus the change of the estimate when the third of the
    points farthest from the limit is left out; the interval spans all multiplicities not ruled out.
    """
    fits = {m: _fit(logs, curves.mean(0), m, accumulating, largest_shift) for m in range(1, largest + 1)}
    fits = {m: fit for m, fit in fits.items() if fit.shift < 0.99 * largest_shift}
    scores = {m: fit.score for m, fit in fits.items()}
    lowest = min(scores.values())
    best = min(scores, key=lambda m: scores[m])
    kept = [m for m in scores if scores[m] <= lowest + RULED_OUT]
    halves = {m: _half_width(logs, curves, m, accumulating, confidence, fits[m], largest_shift) for m in kept}
    chosen = fits[best]
    return Fit(
        learning_coefficient=chosen.coefficient,
        low=min(fits[m].coefficient - halves[m] for m in kept),
        high=max(fits[m].coefficient + halves[m] for m in kept),
        multiplicity=best,
        multiplicity_low=min(kept),
        multiplicity_high=max(kept),
        shift=chosen.shift,
        constant=chosen.constant,
    )


@dataclass(frozen=True)
class _Point:
    coefficient: float
    constant: float
    shift: float
    score: float


def _fit(logs: np.ndarray, y: np.ndarray, multiplicity: int, accumulating: bool, largest_shift: float) -> _Point:
    """Least squares at one multiplicity, the shift by a bounded search."""

    def solve(shift: float) -> tuple[np.ndarray, float]:
        target = y + (multiplicity - 1) * np.log(logs + shift)
        columns = np.stack([logs, np.ones_like(logs)], 1)
        if accumulating:  # differences of a random walk are independent
            slope, *_ = np.linalg.lstsq(np.diff(logs)[:, None], np.diff(target), rcond=None)
            residual = np.diff(target) - np.diff(logs) * slope[0]
            return np.array([slope[0], (target - slope[0] * logs).mean()]), float(residual @ residual)
        solution, *_ = np.linalg.lstsq(columns, target, rcond=None)
        residual = target - columns @ solution
        return solution, float(residual @ residual)

    shift = 0.0
    if multiplicity > 1:
        bounds = (0.5 - logs.min(), largest_shift)
        shift = minimize_scalar(lambda c: solve(c)[1], bounds=bounds, method="bounded", options={"xatol": 1e-6}).x
    solution, squares = solve(shift)
    points = len(y) - accumulating
    parameters = 2 + (multiplicity > 1)
    floor = (EXACT_ERROR * np.abs(y).max()) ** 2
    score = points * np.log(squares / points + floor) + parameters * np.log(points)
    return _Point(solution[0], solution[1], shift, score)


def _half_width(
    logs: np.ndarray,
    curves: np.ndarray,
    multiplicity: int,
    accumulating: bool,
    confidence: float,
    estimate: _Point,
    largest_shift: float,
) -> float:
    def refit(rows: np.ndarray, chosen: slice = slice(None)) -> float:
        return _fit(logs[chosen], rows.mean(0)[chosen], multiplicity, accumulating, largest_shift).coefficient

    drift = abs(refit(curves, slice(len(logs) // 3, None)) - estimate.coefficient)
    replicates = len(curves)
    if replicates == 1:
        return drift
    left_out = [refit(np.delete(curves, i, 0)) for i in range(replicates)]
    error = np.sqrt((replicates - 1) / replicates * np.square(left_out - np.mean(left_out)).sum())
    return drift + student.ppf((1 + confidence) / 2, replicates - 1) * error
