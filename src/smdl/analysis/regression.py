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
    return {
        **vars(fit(x, y)),
        **NOT_TO_BE_HAD,
        "excluded": len(inside) - len(kept),
        "control_r2": fit(control[np.isfinite(control)], y[np.isfinite(control)]).r2,
        "loss_r2": fit(loss, y).r2,
        "partial_r2_given_control": partial_r2(x, y, control),
        "partial_r2_given_loss": partial_r2(x, y, loss),
    }
