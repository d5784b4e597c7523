"""Granulated Kendall's tau of a population: does a predictor follow what one factor alone changes?"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from smdl.figures.style import STYLE, nothing
from smdl.foundation.names import in_figure

STAGE = "decayed"
CELL = 0.27


def draw(factors: pd.DataFrame) -> Figure:
    """A panel per family of schemes, predictors down, factors across; in the cells 100 times tau."""
    own = factors[(factors["outcome"] == "") & (factors["stage"] == STAGE)]
    if own["granulated_tau"].notna().sum() == 0:
        return nothing("No pairs of decayed checkpoints that differ in one factor alone.")
    families, predictors = (list(own[name].unique()) for name in ("family", "predictor"))
    columns = [*sorted(set(own["factor"]) - {""}), ""]
    size = (2.4 + len(families) * (0.3 + 1.3 * CELL * len(columns)), 2.0 + CELL * len(predictors))
    with plt.rc_context({**STYLE, "axes.grid": False}):
        figure, axes = plt.subplots(1, len(families), figsize=size, sharey=True, squeeze=False)
        for axis, family in zip(axes[0], families, strict=True):
            panel = own[own["family"] == family].pivot(index="predictor", columns="factor", values="granulated_tau")
            values = panel.reindex(index=predictors, columns=columns).to_numpy(float)
            axis.set_facecolor("0.85")
            image = axis.imshow(np.ma.masked_invalid(values), cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
            for i, j in zip(*np.nonzero(np.isfinite(values)), strict=True):
                colour = "white" if abs(values[i, j]) > 0.6 else "black"
                axis.text(j, i, f"{100 * values[i, j]:.0f}", ha="center", va="center", fontsize=6, color=colour)
            axis.set_title(in_figure(family))
            axis.set_xticks(range(len(columns)), [in_figure(name) or "mean" for name in columns], rotation=90)
        axes[0, 0].set_yticks(range(len(predictors)), list(map(in_figure, predictors)))
        figure.colorbar(image, ax=axes, shrink=0.5, aspect=25, pad=0.02, label="granulated $\\tau$")
    return figure
