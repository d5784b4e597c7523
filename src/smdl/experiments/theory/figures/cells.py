"""Bits per coordinate of the largest cells within the sublevel sets, for models and for trained networks."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smdl.figures.style import COLOURS, MARKERS, STYLE, nothing

COLUMNS = 5
LOOKS = {
    "volume": ("whole sublevel set", COLOURS[2], MARKERS[2]),
    "box": ("largest box", COLOURS[0], MARKERS[0]),
    "cube": ("largest cube", COLOURS[1], MARKERS[1]),
    "quantizer": ("uniform quantizer", COLOURS[3], MARKERS[3]),
}


def draw(bits: pd.DataFrame, **_: float) -> Figure:
    """One panel a model; the line has the slope lambda / d of theory and passes through the finest box."""
    names = list(bits.loc[bits["cell"] == "box", "model"].unique())
    if not names:
        return nothing("No box was measured.")
    rows = -(-len(names) // COLUMNS)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(rows, COLUMNS, figsize=(11, 2.4 * rows), sharex=True, squeeze=False)
        for axis, name in zip(axes.flat, names, strict=False):
            _panel(axis, name, bits[bits["model"] == name])
        for axis in axes.flat[len(names) :]:
            axis.set_visible(False)
        for column in range(COLUMNS):
            last = axes[(len(names) - 1 - column) // COLUMNS, column]
            last.set_xlabel(r"$\log_2 1/\epsilon$ (bits)")
            last.tick_params(labelbottom=True)
        for axis in axes[:, 0]:
            axis.set_ylabel("bits a coordinate")
        handles = {
            label: handle for axis in axes.flat for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
        }
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles))
    return figure


def _panel(axis: Axes, name: str, own: pd.DataFrame) -> None:
    for cell, (label, colour, marker) in LOOKS.items():
        curve = own[own["cell"] == cell].sort_values("eps")
        if len(curve):
            axis.plot(-np.log2(curve["eps"]), curve["bits"], marker, color=colour, markersize=3, label=label)
    box = own[own["cell"] == "box"].sort_values("eps")
    x = -np.log2(box["eps"].to_numpy())
    dimension, true, sampled = box[["dimension", "lambda_true", "lambda_sampler"]].iloc[0]
    for slope, style, label in (
        (true, "-", r"slope $\lambda/d$"),
        (sampled, "--", r"slope $\hat\lambda/d$ of the sampler"),
    ):
        if np.isfinite(slope):
            line = box["bits"].iloc[0] + slope / dimension * (x - x[0])
            axis.plot(x, line, style, color="black", linewidth=0.9, label=label)
    title = rf"{name}: $\lambda$ = {true:g}, $d$ = {dimension:.0f}"
    axis.set_title(title if not np.isfinite(sampled) else f"{title}\n" + rf"$\hat\lambda$ = {sampled:.2f}")
