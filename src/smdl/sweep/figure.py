"""Heat maps of the settings sweep, one figure per model."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from smdl.figures.style import COLOURS, STYLE, nothing
from smdl.tables.sweep import RULES

ROWS = {
    "of_control": ("LLC over control", "viridis"),
    "excess": ("excess loss (nats)", "cividis"),
    "relative_se": ("error of LLC minus control (%)", "magma_r"),
    "rules": ("rules that hold", "RdYlGn"),
}


def draw(settings: pd.DataFrame, model: str) -> Figure:
    """A column per gamma, a row per quantity, lr against n_beta; outlined where all rules hold, the chosen starred."""
    own = settings[settings["model"] == model]
    own = own.assign(relative_se=100 * own["relative_se"])
    gammas = sorted(own["gamma"].unique())
    shown = [name for name in ROWS if own[name].notna().any()]
    if not shown:
        return nothing(f"{model}: no setting of the sweep was tried.")
    with plt.rc_context({**STYLE, "axes.grid": False}):
        figure, axes = plt.subplots(
            len(shown), len(gammas), figsize=(2.0 * len(gammas) + 1.2, 1.7 * len(shown) + 0.5), squeeze=False
        )
        for row, name in zip(axes, shown, strict=True):
            values = own[name].dropna()
            for axis, gamma in zip(row, gammas, strict=True):
                image = _map(axis, own[own["gamma"] == gamma], name, values.min(), values.max())
            figure.colorbar(image, ax=row, label=ROWS[name][0])
            row[0].set_ylabel(r"$n\beta$")
        for axis, gamma in zip(axes[0], gammas, strict=True):
            axis.set_title(rf"$\gamma$ = {gamma:g}")
        for axis in axes[-1]:
            axis.set_xlabel("lr")
        figure.suptitle(f"{model}: settings where all rules hold outlined, the recommended one starred", fontsize=9)
    return figure


def _map(axis: Axes, own: pd.DataFrame, name: str, low: float, high: float) -> Any:
    grid = own.pivot(index="n_beta", columns="lr", values=name)
    image = axis.imshow(grid, origin="lower", aspect="auto", cmap=ROWS[name][1], vmin=low, vmax=high)
    axis.set_xticks(np.arange(grid.shape[1]), [f"{lr:.0e}".replace("e-0", "e-") for lr in grid.columns])
    axis.set_yticks(np.arange(grid.shape[0]), [f"{n_beta:g}" for n_beta in grid.index])
    for _, setting in own[own["rules"] == len(RULES)].iterrows():
        x, y = grid.columns.get_loc(setting["lr"]), grid.index.get_loc(setting["n_beta"])
        axis.add_patch(Rectangle((x - 0.46, y - 0.46), 0.92, 0.92, fill=False, edgecolor=COLOURS[1], linewidth=1.6))
        if setting["recommended"]:
            axis.plot(x, y, "*", color="white", markeredgecolor="black", markersize=11)
    return image
