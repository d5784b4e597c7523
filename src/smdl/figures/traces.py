"""Loss traces of the chains: excess loss at every recorded step, burn-in included, a panel per checkpoint."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smdl.figures.style import COLOURS, STYLE, nothing
from smdl.tables.study import CONTROL, POSTERIOR


def draw(draws: pd.DataFrame) -> Figure:
    """A row per model, a column per checkpoint; the posterior's chains in colour, the control's in grey."""
    if draws.empty:
        return nothing("No chain was sampled.")
    models = list(draws["model"].unique())
    widest = int(draws.groupby("model")["step"].nunique().max())
    with plt.rc_context({**STYLE, "font.size": 7, "axes.titlesize": 7}):
        figure, axes = plt.subplots(
            len(models), widest, figsize=(1.15 * widest + 0.8, 1.5 * len(models) + 0.6), sharey="row", squeeze=False
        )
        for row, model in zip(axes, models, strict=True):
            groups = list(draws[draws["model"] == model].groupby("step"))
            for axis, (step, own) in zip(row, groups, strict=False):
                _panel(axis, own)
                axis.set_title(f"step {step}")
            for axis in row[len(groups) :]:
                axis.set_visible(False)
            row[0].set_ylabel(f"{model}\nexcess loss (nats)")
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
