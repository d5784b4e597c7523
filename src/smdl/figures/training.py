"""Loss and LLC over training, a column per model."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smdl.figures.style import COLOURS, STYLE, nothing


def draw(checkpoints: pd.DataFrame, llc: pd.DataFrame) -> Figure:
    """Above, the loss on the evaluation blocks; below, the LLC and its control, hollow where not admitted."""
    if checkpoints.empty:
        return nothing("There is no checkpoint whose loss was measured.")
    models = list(checkpoints["model"].unique())
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            2, len(models), figsize=(3.0 * len(models) + 0.6, 4.4), sharex=True, sharey="row", squeeze=False
        )
        for column, model in zip(axes.T, models, strict=True):
            own = checkpoints[checkpoints["model"] == model].sort_values("step")
            column[0].errorbar(own["step"], own["loss"], own["loss_se"], fmt="o-", color=COLOURS[0], markersize=3.5)
            column[0].set_title(model)
            _llc(column[1], llc[llc["model"] == model].sort_values("step"))
            column[1].set_xlabel("training step")
            column[1].set_xscale("log" if checkpoints["step"].min() > 0 else "symlog")
        axes[0, 0].set_ylabel("loss (nats per token)")
        axes[1, 0].set_ylabel(r"$\hat\lambda$")
        axes[1, 0].legend(loc="best")
    return figure


def _llc(axis: Axes, own: pd.DataFrame) -> None:
    admitted = own["admitted"]
    axis.plot(own["step"], own["llc"], color=COLOURS[1], linewidth=1)
    look = {"fmt": "o", "color": COLOURS[1], "markersize": 3.5}
    axis.errorbar("step", "llc", "llc_se", data=own[admitted], label="LLC", **look)
    if not admitted.all():
        axis.errorbar("step", "llc", "llc_se", data=own[~admitted], label="LLC, not admitted", mfc="none", **look)
    if own["control"].notna().any():
        axis.errorbar(
            "step",
            "control",
            "control_se",
            data=own,
            fmt="s--",
            color="0.45",
            markersize=3,
            linewidth=1,
            label="control",
        )
