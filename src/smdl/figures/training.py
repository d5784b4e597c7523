"""Loss and LLC over training, a column per model."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smdl.figures.style import COLOURS, STYLE, nothing
from smdl.foundation.names import in_figure
from smdl.llc.estimate import DIMENSION_ABOVE, TRACE_BELOW

SHARED = {"sharex": True, "sharey": "row", "squeeze": False}


def draw(checkpoints: pd.DataFrame, llc: pd.DataFrame) -> Figure:
    """The loss on the evaluation blocks; LLC and control at each setting, hollow where not admitted; saturation."""
    if checkpoints.empty:
        return nothing("There is no checkpoint whose loss was measured.")
    models, settings = list(checkpoints["model"].unique()), list(llc["setting"].unique())
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            2 + len(settings), len(models), figsize=(3.0 * len(models) + 0.6, 2.0 * (2 + len(settings))), **SHARED
        )
        for column, model in zip(axes.T, models, strict=True):
            own = checkpoints[checkpoints["model"] == model].sort_values("step")
            column[0].errorbar(own["step"], own["loss"], own["loss_se"], fmt="o-", color=COLOURS[0], markersize=3.5)
            column[0].set_title(model)
            for place, setting in enumerate(settings):
                colour = COLOURS[(1 + place) % len(COLOURS)]
                estimates = llc[(llc["model"] == model) & (llc["setting"] == setting)].sort_values("step")
                _llc(column[1 + place], estimates, colour)
                _saturation(column[-1], estimates, colour, setting)
            column[-1].set_xlabel("training step")
            if checkpoints["loss"].notna().any():
                column[-1].set_xscale("log" if checkpoints["step"].min() > 0 else "symlog")
        axes[0, 0].set_ylabel("loss (nats per token)")
        for axis, setting in zip(axes[1:-1, 0], settings, strict=True):
            axis.set_ylabel(rf"$\hat\lambda$, {in_figure(setting)}")
            axis.legend(loc="best")
        axes[-1, 0].set_ylabel("saturation")
        if len(settings) > 1:
            axes[-1, 0].legend(loc="best")
    return figure


def _llc(axis: Axes, own: pd.DataFrame, colour: str) -> None:
    admitted = own["admitted"]
    axis.plot(own["step"], own["llc"], color=colour, linewidth=1)
    look = {"fmt": "o", "color": colour, "markersize": 3.5}
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


def _saturation(axis: Axes, own: pd.DataFrame, colour: str, setting: str) -> None:
    axis.axhspan(-0.05, TRACE_BELOW, color="0.93", linewidth=0)
    axis.axhspan(DIMENSION_ABOVE, 1.05, color="0.93", linewidth=0)
    known = own.dropna(subset=["saturation"])
    look = {"fmt": "o-", "color": colour, "markersize": 3.5, "label": in_figure(setting)}
    axis.errorbar("step", "saturation", "saturation_se", data=known, **look)
    axis.set_ylim(-0.05, 1.05)
    for height, word in ((0.0, "trace"), (0.92, "dimension")):
        axis.text(0.02, height, word, transform=axis.get_yaxis_transform(), fontsize="small", color="0.4")
