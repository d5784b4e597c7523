"""Ordinary least squares of critical levels on the LLC, with what the LLC adds to its rivals.

The points of a line are the checkpoints of one training run. They follow one another and are no sample, so that no
interval of the slope and no p value can be had from them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from smdl.analysis.correlation import partial_r2

KEY = ["model", "scheme", "variant", "epsilon"]
NO_WINDOW = (1, 0)
"""Of a model that no line is fitted to: no step lies between."""


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


def in_window(rows: pd.DataFrame, windows: dict[str, list[int]]) -> pd.Series:
    """Whether the step of each of ``rows`` (columns model, step) lies in the window of its model."""
    ends = [windows.get(model, NO_WINDOW) for model in rows["model"]]
    inside = [first <= step <= last for (first, last), step in zip(ends, rows["step"], strict=True)]
    return pd.Series(inside, index=rows.index, dtype=bool)


def regressions(
    critical: pd.DataFrame,
    llc: pd.DataFrame,
    windows: dict[str, list[int]],
    headline: dict[str, Any],
    admit: list[str],
) -> pd.DataFrame:
    """The rows of the table ``regressions``.

    A checkpoint enters a fit when its level crosses the tolerance and the status of its LLC is one of ``admit``; the
    others of the window are counted in ``excluded``, those that the audit left without a level too. Both windows of a
    model, ``config`` and ``all``, have a row; a model that has none in ``windows`` has no rows.
    """
    critical = critical[critical["model"].isin(windows)]
    studied = critical[KEY].drop_duplicates().merge(llc, on="model")
    points = studied.drop(columns=["status"]).assign(admitted=studied["status"].isin(admit))
    points = points.merge(critical[[*KEY, "step", "level"]], on=[*KEY, "step"], how="left")
    points["admitted"] &= points["level"].notna()
    rows = []
    for (model, scheme, variant, epsilon), group in points.groupby(
        ["model", "scheme", "variant", "epsilon"], sort=False
    ):
        ends = {"config": windows[model], "all": [group["step"].min(), group["step"].max()]}
        for window, (first, last) in ends.items():
            rows.append(
                {
                    "model": model,
                    "scheme": scheme,
                    "variant": variant,
                    "epsilon": epsilon,
                    "window": window,
                    "first": first,
                    "last": last,
                    "headline": window == "config" and headline == _named(scheme, variant, epsilon),
                    **_row(group[group["step"].between(first, last)]),
                }
            )
    return pd.DataFrame(rows)


def _named(scheme: str, variant: str, epsilon: float) -> dict[str, Any]:
    return {"scheme": scheme, "variant": variant, "epsilon": epsilon}


def _row(inside: pd.DataFrame) -> dict[str, Any]:
    kept = inside[inside["admitted"]]
    x, y, control, loss = (kept[name].to_numpy(float) for name in ("llc", "level", "control", "loss"))
    return {
        **vars(fit(x, y)),
        **NOT_TO_BE_HAD,
        "excluded": len(inside) - len(kept),
        "control_r2": fit(control[np.isfinite(control)], y[np.isfinite(control)]).r2,
        "loss_r2": fit(loss, y).r2,
        "partial_r2_given_control": partial_r2(x, y, control),
        "partial_r2_given_loss": partial_r2(x, y, loss),
    }
