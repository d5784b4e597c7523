"""Loss traces of the chains: excess loss at every recorded step, burn-in included, a panel per checkpoint."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smdl.figures.style import COLOURS, STYLE, nothing
from smdl.foundation.names import in_figure
from smdl.tables.study import CONTROL, POSTERIOR


def draw(draws: pd.DataFrame) -> Figure:
    """A row per model and setting, a column per checkpoint; the chains in colour, their controls in grey."""
    if draws.empty:
        return nothing("No chain was sampled.")
    rows = list(draws[["model", "setting"]].drop_duplicates().itertuples(index=False, name=None))
    widest = int(draws.groupby("model")["step"].nunique().max())
    with plt.rc_context({**STYLE, "font.size": 7, "axes.titlesize": 7}):
        figure, axes = plt.subplots(
            len(rows), widest, figsize=(1.15 * widest + 0.8, 1.5 * len(rows) + 0.6), sharey="row", squeeze=False
        )
        for row, (model, setting) in zip(axes, rows, strict=True):
            groups = list(draws[(draws["model"] == model) & (draws["setting"] == setting)].groupby("step"))
            for axis, (step, own) in zip(row, groups, strict=False):
                _panel(axis, own)
                axis.set_title(f"step {step}")
            for axis in row[len(groups) :]:
                axis.set_visible(False)
            row[0].set_ylabel(f"{model}, {in_figure(setting)}\nexcess loss (nats)")
        figure.supxlabel("draw (burn-in before 0)", fontsize=8)
        figure.legend(*_legend(axes[0, 0]), loc="outside upper right", ncols=2)
    return figure


def _panel(axis: Axes, own: pd.DataFrame) -> None:
    for kind, colour in ((CONTROL, "0.65"), (POSTERIOR, COLOURS[0])):
        for _, chain in own[own["kind"] == kind].groupby("chain"):
            axis.plot(
                chain["draw"], chain["loss"] - chain["baseline"], color=colour, linewidth=0.6, alpha=0.8, label=kind
            )
    axis.axvline(0, color="black", linewidth=0.5, linestyle=":")


def _legend(axis: Axes) -> tuple[list, list]:
    handles, labels = axis.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    return list(unique.values()), list(unique)
