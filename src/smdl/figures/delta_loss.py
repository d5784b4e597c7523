"""Delta loss against level for the headline's scheme: a panel per model, a line per checkpoint."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from smdl.figures.looks import of_headline, tolerance
from smdl.figures.style import STYLE, nothing, training_colours

SHOWN_TOLERANCES = 8


def draw(curves: pd.DataFrame, points: pd.DataFrame) -> Figure:
    """The curves of the headline's variant with its tolerance; dots mark the critical levels."""
    epsilon, points = tolerance(points), points[points["headline"]]
    curves = of_headline(curves, points).dropna(subset=["coordinate", "delta_loss"])
    if curves.empty:
        return nothing("No checkpoint was compressed by the headline's scheme and variant.")
    models = list(curves["model"].unique())
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(models), figsize=(3.1 * len(models) + 0.8, 3.0), squeeze=False, sharey=False)
        for axis, model in zip(axes[0], models, strict=True):
            _panel(figure, axis, curves[curves["model"] == model], points[points["model"] == model], epsilon)
            axis.set_title(model)
        axes[0, 0].set_ylabel(r"$\Delta$ loss (nats per token)")
    return figure


def _panel(figure: Figure, axis, curves: pd.DataFrame, points: pd.DataFrame, epsilon: float) -> None:
    steps = sorted(curves["step"].unique())
    colours = training_colours(len(steps))
    for step, colour in zip(steps, colours, strict=True):
        line = curves[curves["step"] == step].groupby("coordinate")["delta_loss"].mean()
        axis.plot(line.index, line, color=colour, linewidth=1.1)
    points = points[points["step"].isin(steps)].dropna(subset=["coordinate"])
    axis.scatter(
        points["coordinate"],
        [epsilon] * len(points),
        color=[colours[steps.index(step)] for step in points["step"]],
        s=18,
        zorder=3,
        edgecolor="white",
        linewidth=0.5,
    )
    axis.axhline(epsilon, color="black", linewidth=0.8, linestyle="--")
    top = min(1.05 * curves["delta_loss"].max(), SHOWN_TOLERANCES * epsilon)
    axis.set_ylim(-0.05 * epsilon, max(top, 1.2 * epsilon))
    axis.set_xlabel(f"{curves['scheme'].iloc[0]} level ({curves['unit'].iloc[0]})")
    bar = figure.colorbar(
        ScalarMappable(BoundaryNorm(np.arange(len(steps) + 1), len(steps)), ListedColormap(colours)), ax=axis, pad=0.02
    )
    shown = range(0, len(steps), max(len(steps) // 6, 1))
    bar.set_ticks([i + 0.5 for i in shown], labels=[f"{steps[i]}" for i in shown], fontsize=7)
    bar.ax.minorticks_off()
    bar.set_label("training step", fontsize=8)
