"""Ordinary least squares of critical levels on the LLC, with what the LLC adds to its rivals.

The points of a line are the checkpoints of one training run. They follow one another and are no sample, so that no
interval of the slope and no p value can be computed from them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from smdl.analysis.correlation import partial_r2

KEY = ["model", "setting", "scheme", "variant", "epsilon"]


@dataclass(frozen=True)
class Fit:
    """A line y = slope x + intercept through ``n`` points, and their rank correlation."""

    n: int
    slope: float
    intercept: float
    r2: float
    spearman: float


NOT_TO_BE_HAD = dict.fromkeys(("slope_low", "slope_high", "spearman_p"), np.nan)
"""What the table has columns for, and the checkpoints of one training run do not give."""


def fit(x: np.ndarray, y: np.ndarray) -> Fit:
    """Least squares of ``y`` on ``x``, shape (n,); every figure is NaN where n < 3 or where x or y is constant."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Fit(len(x), *[np.nan] * 4)
    line = stats.linregress(x, y)
    return Fit(len(x), line.slope, line.intercept, line.rvalue**2, stats.spearmanr(x, y).statistic)


def deming(x: np.ndarray, y: np.ndarray, ratio: float) -> float:
    """Slope of the line with errors in both variables; ``ratio`` is the variance of the errors of y over that of x's.

    Deming (1943); NaN where it has none: n < 3, or x and y do not vary together.
    """
    if len(x) < 3 or not np.isfinite(ratio):
        return np.nan
    (xx, xy), (_, yy) = np.cov(x, y)
    if xy == 0:
        return np.nan
    away = yy - ratio * xx
    return float((away + np.sqrt(away**2 + 4 * ratio * xy**2)) / (2 * xy))


@dataclass(frozen=True)
class Polynomial:
    """Coefficients of 1, x, x^2, ... by least squares, with standard errors from the errors of the points alone."""

    coefficients: np.ndarray
    errors: np.ndarray
    r2: float


def polynomial(degree: int, x: np.ndarray, y: np.ndarray, x_se: np.ndarray, y_se: np.ndarray) -> Polynomial:
    """Least squares of ``y`` on powers of ``x`` up to ``degree``; NaN where there are not two points more than powers.

    The errors are those of the fit when every point moves by its own errors ``x_se`` and ``y_se``: they say how well
    the fit through these checkpoints is known, and nothing of other training runs.
    """
    powers = degree + 1
    if len(x) < powers + 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Polynomial(np.full(powers, np.nan), np.full(powers, np.nan), np.nan)
    # About the middle and in units of the spread, so that the powers are no near multiples of each other.
    middle, unit = x.mean(), x.std()
    scaled = np.polynomial.Polynomial.fit(x, y, degree, domain=[middle - unit, middle + unit])
    inverse = np.linalg.pinv(np.vander((x - middle) / unit, powers, increasing=True))
    moved = y_se**2 + (scaled.deriv()(x) * x_se) ** 2
    covariance = inverse * moved @ inverse.T
    # The coefficients of x itself are linear in those of the scaled x.
    back = np.column_stack(
        [
            np.pad(own, (0, powers - len(own)))
            for k in range(powers)
            for own in [(np.polynomial.Polynomial([-middle / unit, 1 / unit]) ** k).coef]
        ]
    )
    residual = y - scaled(x)
    return Polynomial(
        np.pad(scaled.convert().coef, (0, powers))[:powers],
        np.sqrt(np.diag(back @ covariance @ back.T)),
        float(1 - residual.var() / y.var()),
    )


def regressions(points: pd.DataFrame, windows: dict[str, list[int]]) -> pd.DataFrame:
    """The rows of the table ``regressions``, from those of ``points``.

    The points of the window that are not admitted are counted in ``excluded``, those that the audit left without a
    level too. Both windows of a model, ``config`` and ``all``, have a row; a model that has none in ``windows`` has no
    rows.
    """
    rows = []
    for key, group in points[points["model"].isin(windows)].groupby(KEY, sort=False):
        ends = {"config": windows[key[0]], "all": [group["step"].min(), group["step"].max()]}
        for window, (first, last) in ends.items():
            rows.append(
                {
                    **dict(zip(KEY, key, strict=True)),
                    "window": window,
                    "first": first,
                    "last": last,
                    "headline": window == "config" and group["headline"].all(),
                    **_row(group[group["step"].between(first, last)]),
                }
            )
    return pd.DataFrame(rows)


def _row(inside: pd.DataFrame) -> dict[str, Any]:
    kept = inside[inside["admitted"]]
    x, y, control, loss = (kept[name].to_numpy(float) for name in ("llc", "coordinate", "control", "loss"))
    rivals = {"control": control, "loss": loss, "norm": kept["norm"].to_numpy(float), "log_step": _log(kept["step"])}
    return {
        **vars(fit(x, y)),
        **NOT_TO_BE_HAD,
        **_beyond_the_line(x, y, *(kept[name].fillna(0).to_numpy(float) for name in ("llc_se", "coordinate_se"))),
        "excluded": len(inside) - len(kept),
        **{f"{name}_r2": fit(own[np.isfinite(own)], y[np.isfinite(own)]).r2 for name, own in rivals.items()},
        "partial_r2_given_control": partial_r2(x, y, control),
        "partial_r2_given_loss": partial_r2(x, y, loss),
    }


def _beyond_the_line(x: np.ndarray, y: np.ndarray, x_se: np.ndarray, y_se: np.ndarray) -> dict[str, float]:
    line, parabola = (polynomial(degree, x, y, x_se, y_se) for degree in (1, 2))
    ratio = (y_se**2).mean() / (x_se**2).mean() if (x_se > 0).any() else np.nan
    return {
        "slope_se": line.errors[1],
        "slope_deming": deming(x, y, ratio),
        "curvature": parabola.coefficients[2],
        "curvature_se": parabola.errors[2],
        "curvature_share": (parabola.r2 - line.r2) / (1 - line.r2) if line.r2 < 1 else np.nan,
    }


def _log(steps: pd.Series) -> np.ndarray:
    """The logarithm of training steps; NaN at step 0."""
    return np.log(steps.where(steps > 0).to_numpy(float))
