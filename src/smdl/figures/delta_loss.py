"""Delta loss against level for the headline's scheme: a panel a model, a line a checkpoint."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from smdl.figures.looks import of_headline
from smdl.figures.style import STYLE, nothing, training_colours
from smdl.runtime.names import in_figure

SHOWN_TOLERANCES = 8


def draw(curves: pd.DataFrame, critical: pd.DataFrame, headline: dict[str, Any], **_: Any) -> Figure:
    """The curves of the headline's variant with its tolerance; dots mark the critical levels."""
    curves = curves[of_headline(curves, headline)].dropna(subset=["coordinate", "delta_loss"])
    critical = critical[of_headline(critical, headline) & (critical["epsilon"] == headline["epsilon"])]
    if curves.empty:
        return nothing(f"{headline['scheme']}, {in_figure(headline['variant'])}: no checkpoint was compressed.")
    models = list(curves["model"].unique())
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(models), figsize=(3.1 * len(models) + 0.8, 3.0), squeeze=False, sharey=False)
        for axis, model in zip(axes[0], models, strict=True):
            _panel(figure, axis, curves[curves["model"] == model], critical[critical["model"] == model], headline)
            axis.set_title(model)
        axes[0, 0].set_ylabel(r"$\Delta$ loss (nats a token)")
    return figure


def _panel(figure: Figure, axis, curves: pd.DataFrame, critical: pd.DataFrame, headline: dict[str, Any]) -> None:
    steps = sorted(curves["step"].unique())
    colours = training_colours(len(steps))
    for step, colour in zip(steps, colours, strict=True):
        line = curves[curves["step"] == step].groupby("coordinate")["delta_loss"].mean()
        axis.plot(line.index, line, color=colour, linewidth=1.1)
    points = critical[critical["step"].isin(steps)].dropna(subset=["level"])
    axis.scatter(
        points["level"],
        [headline["epsilon"]] * len(points),
        color=[colours[steps.index(step)] for step in points["step"]],
        s=18,
        zorder=3,
        edgecolor="white",
        linewidth=0.5,
    )
    axis.axhline(headline["epsilon"], color="black", linewidth=0.8, linestyle="--")
    top = min(1.05 * curves["delta_loss"].max(), SHOWN_TOLERANCES * headline["epsilon"])
    axis.set_ylim(-0.05 * headline["epsilon"], max(top, 1.2 * headline["epsilon"]))
    axis.set_xlabel(f"{headline['scheme']} level ({curves['unit'].iloc[0]})")
    bar = figure.colorbar(
        ScalarMappable(BoundaryNorm(np.arange(len(steps) + 1), len(steps)), ListedColormap(colours)), ax=axis, pad=0.02
    )
    shown = range(0, len(steps), max(len(steps) // 6, 1))
    bar.set_ticks([i + 0.5 for i in shown], labels=[f"{steps[i]}" for i in shown], fontsize=7)
    bar.ax.minorticks_off()
    bar.set_label("training step", fontsize=8)
