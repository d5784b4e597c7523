"""Loss against critical level along the branches of a population's runs, coloured by the LLC."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from smdl.figures.looks import label, tolerance
from smdl.figures.style import STYLE, nothing
from smdl.tables.study import CHECKPOINT

STAGES = {"stable": "o", "decayed": "v", "averaged": "s"}
COLUMNS = 4


def draw(observations: pd.DataFrame, measures: pd.DataFrame, checkpoints: pd.DataFrame, points: pd.DataFrame) -> Figure:
    """A panel per scheme and variant at the headline's tolerance; an arrow leads from a run to its decayed branch."""
    own = observations[np.isclose(observations["epsilon"], tolerance(points))]
    own = own[np.isfinite(own["incompressibility"])].merge(checkpoints[[*CHECKPOINT, "loss"]], on=CHECKPOINT)
    names = [name for name in measures["measure"].unique() if name.startswith("llc (")]
    if own.empty or not names:
        return nothing("No checkpoint of the population has both a critical level and an LLC.")
    llc = measures[measures["measure"] == names[0]].set_index(CHECKPOINT)["value"]
    own = own.assign(llc=llc.reindex(pd.MultiIndex.from_frame(own[CHECKPOINT])).to_numpy())
    panels = list(own.groupby(["scheme", "variant"], sort=False))
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(rows, columns, figsize=(0.8 + 2.8 * columns, 2.6 * rows), squeeze=False)
        for axis, ((scheme, variant), seen) in zip(axes.flat, panels, strict=False):
            image = _panel(axis, seen, own["llc"])
            axis.set_title(label(scheme, variant))
        for axis in axes.flat[len(panels) :]:
            axis.set_axis_off()
        for axis in axes[-1]:
            axis.set_xlabel("loss (nats per token)")
        for axis in axes[:, 0]:
            axis.set_ylabel("less compressible $\\rightarrow$")
        figure.colorbar(image, ax=axes, shrink=0.6, aspect=30, label=names[0].replace("llc", "LLC", 1))
        figure.legend(handles=_key(), loc="outside lower center", ncols=len(STAGES))
    return figure


def _panel(axis: Axes, seen: pd.DataFrame, llc: pd.Series) -> PathCollection:
    # Both ends of a branch bear the target in the names of their strata.
    target = seen["stratum"].str.rsplit(" ", n=1).str[-1]
    for _, branch in seen.groupby(["run", target]):
        ends = branch.drop_duplicates("stage").set_index("stage")[["loss", "incompressibility"]]
        if {"stable", "decayed"} <= set(ends.index):
            arrow = {"arrowstyle": "->", "color": "0.6", "lw": 0.5, "shrinkA": 2, "shrinkB": 2}
            axis.annotate("", ends.loc["decayed"], ends.loc["stable"], arrowprops=arrow)
    for stage, marker in STAGES.items():
        at = seen[seen["stage"] == stage]
        image = axis.scatter(
            at["loss"],
            at["incompressibility"],
            c=at["llc"],
            marker=marker,
            s=16,
            cmap="viridis",
            vmin=llc.min(),
            vmax=llc.max(),
            linewidths=0,
        )
    return image


def _key() -> list[plt.Line2D]:
    return [
        plt.Line2D([], [], marker=marker, linestyle="", color="0.4", label=stage) for stage, marker in STAGES.items()
    ]
