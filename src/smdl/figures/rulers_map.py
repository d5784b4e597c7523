"""The heat map of rulers: rank correlation of every measure with every scheme's critical level."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smdl.figures.looks import tolerance
from smdl.figures.style import STYLE, nothing
from smdl.foundation.names import in_figure

SIGNIFICANT = 0.05
CELL = 0.23


def draw(rulers: pd.DataFrame, points: pd.DataFrame) -> Figure:
    """A panel per scope, measures down, schemes across, at the headline's tolerance; cells: 100 times Spearman's rho.

    Bold where the corrected p value is below 5 %, if there are any; a grey cell has too few checkpoints or nothing that
    varies. A scope of grey cells alone has no panel, if another has any.
    """
    epsilon = tolerance(points)
    own = rulers[np.isclose(rulers["epsilon"], epsilon)]
    if own.empty:
        return nothing("No measure was compared with a critical level at the headline's tolerance.")
    told = own.groupby("scope")["spearman"].transform("count") > 0
    own = own[told | ~told.any()]
    scopes, measures, columns = (list(own[name].unique()) for name in ("scope", "measure", "compressibility"))
    size = (2.1 + len(scopes) * (0.35 + 1.35 * CELL * len(columns)), 1.9 + CELL * len(measures))
    with plt.rc_context({**STYLE, "axes.grid": False}):
        figure, axes = plt.subplots(1, len(scopes), figsize=size, sharey=True, squeeze=False)
        for axis, scope in zip(axes[0], scopes, strict=True):
            panel = own[own["scope"] == scope].set_index(["measure", "compressibility"])
            image = _panel(axis, panel, measures, columns)
            axis.set_title(scope)
        axes[0, 0].set_yticks(range(len(measures)), list(map(in_figure, measures)))
        bar = figure.colorbar(image, ax=axes, orientation="vertical", shrink=0.5, aspect=25, pad=0.02)
        bar.set_label("Spearman's rank correlation (in the cells: times 100)")
        figure.suptitle(
            f"Measures of complexity against critical levels, $\\epsilon$ = {epsilon:g} nats"
            + ("; bold: p < 0.05 corrected" if own["p_corrected"].notna().any() else ""),
            fontsize=9,
        )
    return figure


def _panel(axis: Axes, panel: pd.DataFrame, measures: list[str], columns: list[str]) -> Any:
    rho, p = (panel[name].unstack().reindex(index=measures, columns=columns) for name in ("spearman", "p_corrected"))
    axis.set_facecolor("0.85")
    image = axis.imshow(np.ma.masked_invalid(rho), cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    for i, j in zip(*np.nonzero(np.isfinite(rho.to_numpy())), strict=True):
        value = rho.iloc[i, j]
        axis.text(
            j,
            i,
            f"{100 * value:.0f}",
            ha="center",
            va="center",
            fontsize=6.5,
            color="white" if abs(value) > 0.65 else "black",
            weight="bold" if p.iloc[i, j] < SIGNIFICANT else "normal",
        )
    axis.set_xticks(range(len(columns)), list(map(in_figure, columns)), rotation=90)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return image
