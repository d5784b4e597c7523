"""Which notion of compressibility the LLC foretells: schemes by models, for every tolerance."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from smdl.figures.looks import label, variants
from smdl.figures.style import STYLE, nothing
from smdl.foundation.names import in_figure

PANELS = (
    ("r2", r"$R^2$ on the LLC", "viridis", 0, 1),
    ("control_r2", r"$R^2$ on the control", "viridis", 0, 1),
    ("spearman", r"Spearman's $\rho$ with the LLC", "RdBu_r", -1, 1),
)


def draw(regressions: pd.DataFrame) -> Figure:
    """Fits over each model's window, a row of panels per setting of the sampler.

    n, the number of checkpoints in the fit, stands below where it is less than all. A cell is blank where there is no
    fit: fewer than three checkpoints whose loss crosses the tolerance.
    """
    table = regressions[regressions["window"] == "config"]
    if table.empty:
        return nothing("No line is fitted: no model has a window, or none has a critical level in it.")
    rows = variants(table)
    epsilons, models = sorted(table["epsilon"].unique()), list(table["model"].unique())
    columns = [(epsilon, model) for epsilon in epsilons for model in models]
    settings = list(table["setting"].unique())
    table = table.set_index(["setting", "scheme", "variant", "epsilon", "model"])
    panels = [panel for panel in PANELS if panel[0] != "control_r2" or table["control_r2"].notna().any()]
    with plt.rc_context({**STYLE, "axes.grid": False}):
        figure, axes = plt.subplots(
            len(settings),
            len(panels),
            figsize=(2.2 + len(panels) * (0.5 * len(columns) + 0.5), len(settings) * (1.5 + 0.27 * len(rows))),
            squeeze=False,
            sharey=True,
        )
        for line, setting in zip(axes, settings, strict=True):
            for axis, (column, title, colours, low, high) in zip(line, panels, strict=True):
                own = table[column].get
                values = [[own((setting, *row, *place), np.nan) for place in columns] for row in rows]
                _cells(axis, np.array(values), plt.get_cmap(colours), low, high)
                axis.set_title(title)
                _columns(axis, epsilons, models)
            line[0].set_yticks(range(len(rows)), [label(*row) for row in rows])
            line[0].set_ylabel(f"setting {in_figure(setting)}")
    return figure


def _cells(axis: Axes, values: np.ndarray, colours: Colormap, low: float, high: float) -> None:
    axis.imshow(values, cmap=colours, vmin=low, vmax=high, aspect="auto")
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            shade = colours((value - low) / (high - low))
            dark = 0.299 * shade[0] + 0.587 * shade[1] + 0.114 * shade[2] < 0.5
            text = f"{value:.2f}".replace("-", "\N{MINUS SIGN}")
            axis.text(column, row, text, ha="center", va="center", fontsize=7, color="white" if dark else "black")


def _columns(axis: Axes, epsilons: list[float], models: list[str]) -> None:
    """Models below, tolerances above them, a white gap between tolerances."""
    count = len(models)
    axis.set_xticks(range(count * len(epsilons)), models * len(epsilons), rotation=90, fontsize=7)
    for i, epsilon in enumerate(epsilons):
        axis.text((i + 0.5) * count - 0.5, -0.62, f"{epsilon:g} nats", ha="center", va="bottom", fontsize=7)
        if i:
            axis.axvline(i * count - 0.5, color="white", linewidth=3)
    axis.title.set_position((0.5, 1.0))
    axis.set_title(axis.get_title(), pad=16)
