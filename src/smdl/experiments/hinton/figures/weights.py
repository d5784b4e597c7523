"""Hinton diagram: the noisy weights of one network, a block a hidden unit (figure 2 of Hinton and van Camp 1993)."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from smdl.figures.style import STYLE, nothing

BACKGROUND = "0.6"
DRAWN = ("incoming", "outgoing", "hidden_bias")


def draw(runs: pd.DataFrame, weights: pd.DataFrame, columns: int) -> Figure:
    """Each unit's incoming weights in rows of ``columns``, above them its outgoing weight (middle) and bias (right).

    White is positive, black negative, area is magnitude, on one scale for the whole network. Of several data sets the
    one with the least description length is drawn.
    """
    dataset, bits = shortest(runs)
    own = weights[weights["dataset"] == dataset].dropna(subset=["mean"])
    if not set(DRAWN) <= set(own["kind"]):
        return nothing("No network with noisy weights was trained.")
    largest = own["mean"].abs().max()
    units = sorted(own["unit"].unique())
    with plt.rc_context({**STYLE, "axes.grid": False}):
        figure, axes = plt.subplots(1, len(units), figsize=(1.7 * len(units), 2.75), squeeze=False)
        for axis, unit in zip(axes[0], units, strict=True):
            _unit(axis, own[own["unit"] == unit], columns, largest)
            axis.set_title(f"hidden unit {unit + 1}")
        figure.suptitle(
            f"Weights of data set {dataset} ({bits:.0f} bits); the largest is {largest:.2f}; white +, black -",
            fontsize=9,
        )
    return figure


def shortest(runs: pd.DataFrame) -> tuple[int | None, float]:
    """The data set whose chosen noisy network has the least description length, and the bits of its weights.

    None, and NaN, where there is no such network.
    """
    noisy = runs[(runs["method"] == "description_length") & runs["chosen"]].dropna(subset=["total_bits"])
    if noisy.empty:
        return None, np.nan
    best = noisy.loc[noisy["total_bits"].idxmin()]
    return int(best["dataset"]), float(best["weight_bits"])


def _unit(axis: Axes, own: pd.DataFrame, columns: int, largest: float) -> None:
    incoming = own[own["kind"] == "incoming"].sort_values("input")["mean"].to_numpy()
    rows = -(-len(incoming) // columns)
    places = [(i % columns, i // columns + 1.5) for i in range(len(incoming))] + [(columns // 2, 0), (columns - 1, 0)]
    values = np.append(incoming, [_single(own, "outgoing"), _single(own, "hidden_bias")])
    sides = 0.95 * np.sqrt(np.abs(values) / largest)
    boxes = [Rectangle((x - s / 2, y - s / 2), s, s) for (x, y), s in zip(places, sides, strict=True)]
    colours = ["white" if value > 0 else "black" for value in values]
    axis.add_collection(PatchCollection(boxes, facecolors=colours, linewidths=0))
    axis.set(xlim=(-0.7, columns - 0.3), ylim=(rows + 1.2, -0.7), aspect="equal", xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    axis.set_facecolor(BACKGROUND)


def _single(own: pd.DataFrame, kind: str) -> float:
    return float(own.loc[own["kind"] == kind, "mean"].iloc[0])
