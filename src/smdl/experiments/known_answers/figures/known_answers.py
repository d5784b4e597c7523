"""The known answers: true against estimated learning coefficients, and the relative error by size."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smdl.experiments.known_answers.summary import STANDARD_ERRORS, TOLERANCE
from smdl.figures.style import COLOURS, MARKERS, STYLE, nothing


def draw(known_answers: pd.DataFrame, **_: Any) -> Figure:
    """Left, estimate against truth; right, relative error against the number of weights; hollow where not ok."""
    known_answers = known_answers.dropna(subset=["lambda_true", "lambda_hat"])
    if known_answers.empty:
        return nothing("No case has an estimate.")
    with plt.rc_context(STYLE):
        figure, (truth, error) = plt.subplots(1, 2, figsize=(8.4, 3.8))
        for (family, rows), colour, marker in zip(
            known_answers.groupby("family", sort=False), COLOURS, MARKERS, strict=False
        ):
            look = {"fmt": marker, "color": colour, "markersize": 3.5, "elinewidth": 0.8}
            for ok, part in rows.groupby(rows["status"] == "ok"):
                fill = {} if ok else {"mfc": "white"}
                label = {"label": family.replace("_", " ")} if ok or not (rows["status"] == "ok").any() else {}
                bars = STANDARD_ERRORS * part["se"]
                truth.errorbar(part["lambda_true"], part["lambda_hat"], bars, **look, **fill, **label)
                relative = 100 * (part["lambda_hat"] / part["lambda_true"] - 1)
                error.errorbar(part["parameters"], relative, 100 * bars / part["lambda_true"], **look, **fill)
        _truth(truth, known_answers["lambda_true"])
        _error(error)
    return figure


def _truth(axis: Axes, values: pd.Series) -> None:
    ends = np.array([values.min() / 1.5, values.max() * 1.5])
    axis.plot(ends, ends, color="0.3", linewidth=0.8, zorder=1)
    axis.fill_between(ends, ends * (1 - TOLERANCE), ends * (1 + TOLERANCE), color="0.9", zorder=0, linewidth=0)
    axis.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    axis.set_xlabel(r"learning coefficient in closed form, $\lambda$")
    axis.set_ylabel(r"estimate $\hat\lambda$, with three standard errors")
    axis.legend(loc="upper left")


def _error(axis: Axes) -> None:
    axis.axhline(0, color="0.3", linewidth=0.8, zorder=1)
    axis.axhspan(-100 * TOLERANCE, 100 * TOLERANCE, color="0.9", zorder=0, linewidth=0)
    axis.set_xscale("log")
    axis.set_xlabel("number of weights")
    axis.set_ylabel("relative error (%)")
