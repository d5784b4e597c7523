"""The ladder of a population's predictors: how well each foretells the critical levels, its rivals held fixed."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smdl.figures.style import COLOURS, STYLE, nothing
from smdl.foundation.names import in_figure

STAGE = "decayed"


def draw(associations: pd.DataFrame) -> Figure:
    """A panel per family of schemes, predictors down: Kendall's tau plain and partial, of decayed checkpoints."""
    own = associations[(associations["outcome"] == "") & (associations["stage"] == STAGE)]
    if own["tau"].notna().sum() == 0:
        return nothing("Too few decayed checkpoints of a population for its statistics.")
    families = list(own["family"].unique())
    order = own.groupby("predictor")["partial_tau"].mean().sort_values(na_position="first").index
    with plt.rc_context(STYLE):
        size = (2.4 + 2.1 * len(families), 1.3 + 0.21 * len(order))
        figure, axes = plt.subplots(1, len(families), figsize=size, sharey=True, squeeze=False)
        for axis, family in zip(axes[0], families, strict=True):
            _panel(axis, own[own["family"] == family].set_index("predictor").reindex(order))
            axis.set_title(in_figure(family))
            axis.set_xlabel("Kendall's $\\tau$ within strata")
        axes[0, 0].set_yticks(range(len(order)), list(map(in_figure, order)))
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def _panel(axis: Axes, own: pd.DataFrame) -> None:
    axis.axvline(0, color="0.5", linewidth=0.8)
    place = np.arange(len(own))
    drawn = (("tau", COLOURS[5], 0.12, "plain"), ("partial_tau", COLOURS[0], -0.12, "rivals held fixed"))
    for name, colour, shift, told in drawn:
        value = own[name].to_numpy(float)
        low, high = (own[f"{name}_{end}"].to_numpy(float) for end in ("low", "high"))
        axis.hlines(place + shift, low, high, color=colour, linewidth=1)
        axis.plot(value, place + shift, "o", color=colour, markersize=3.5, label=told)
