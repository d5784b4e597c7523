"""The LLC of parts of the weights over training, a column per model and a row per setting."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from smdl.figures.style import COLOURS, STYLE, nothing
from smdl.foundation.names import in_figure

SHARED = {"sharex": True, "sharey": "row", "squeeze": False}


def draw(llc_restricted: pd.DataFrame) -> Figure:
    """The LLC of every restriction with its standard error; hollow where the status is not ok."""
    known = llc_restricted.dropna(subset=["llc"])
    if known.empty:
        return nothing("There is no restricted LLC.")
    models, settings = (list(known[name].unique()) for name in ("model", "setting"))
    colours = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(known["restriction"].unique())}
    with plt.rc_context(STYLE):
        size = 3.0 * len(models) + 1.6, 2.4 * len(settings) + 0.4
        figure, axes = plt.subplots(len(settings), len(models), figsize=size, **SHARED)
        for row, setting in zip(axes, settings, strict=True):
            for axis, model in zip(row, models, strict=True):
                own = known[(known["model"] == model) & (known["setting"] == setting)]
                for name, colour in colours.items():
                    rows = own[own["restriction"] == name].sort_values("step")
                    look = {"color": colour, "markersize": 3.5}
                    axis.errorbar("step", "llc", "llc_se", data=rows, fmt="o-", label=in_figure(name), **look)
                    doubtful = rows[rows["status"] != "ok"]
                    axis.plot(doubtful["step"], doubtful["llc"], "o", mfc="white", **look)
            row[0].set_ylabel(rf"restricted $\hat\lambda$, {in_figure(setting)}")
        for axis, model in zip(axes[0], models, strict=True):
            axis.set_title(in_figure(model))
        for axis in axes[-1]:
            axis.set_xlabel("training step")
        if known["step"].max() > 0:
            axes[0, 0].set_xscale("log" if known["step"].min() > 0 else "symlog")
        axes[0, -1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
