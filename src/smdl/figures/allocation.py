"""Which score to use: regret by score and budget, and against what the score costs; a row per quantizer."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from smdl.figures.style import COLOURS, STYLE, nothing
from smdl.tables.allocation import ALL_BUDGETS

# Regrets below this many nats are drawn as this.
LEAST = 1e-4


def draw(regret: pd.DataFrame, scores: pd.DataFrame) -> Figure:
    """Left the mean regret over checkpoints (thousandths of a nat), scores in the order of their mean over budgets.

    Right that mean with its 95 % interval over checkpoints against the forward passes that a score takes, by its number
    on the left.
    """
    known = regret.dropna(subset=["regret"])
    if known.empty:
        return nothing("There is no allocation.")
    quantizers = list(known["quantizer"].unique())
    with plt.rc_context(STYLE):
        size = 10.5, 0.4 + 0.3 * known["score"].nunique() * len(quantizers) + 0.8 * len(quantizers)
        figure, axes = plt.subplots(len(quantizers), 2, figsize=size, squeeze=False, width_ratios=[1.5, 1])
        for row, quantizer in zip(axes, quantizers, strict=True):
            own = known[known["quantizer"] == quantizer]
            overall = own[own["budget"] == ALL_BUDGETS].set_index("score").sort_values("regret")
            _map(row[0], own[own["budget"] != ALL_BUDGETS], list(overall.index))
            passes = scores[scores["quantizer"] == quantizer].groupby("score")["passes"].mean()
            _cost(row[1], overall, passes)
            row[0].set_title(f"{quantizer}: regret (thousandths of a nat)")
            row[1].set_title(f"{quantizer}: mean regret against cost")
    return figure


def _map(axis: Axes, rows: pd.DataFrame, order: list[str]) -> None:
    table = rows.pivot(index="score", columns="budget", values="regret").reindex(order)
    table = table[sorted(table.columns, key=float)]
    values = table.to_numpy(dtype=float)
    axis.imshow(np.maximum(values, LEAST), norm=LogNorm(LEAST, 1), cmap="YlOrRd", aspect="auto")
    for (y, x), value in np.ndenumerate(values):
        if np.isfinite(value):
            axis.text(x, y, f"{1000 * value:.0f}", ha="center", va="center", fontsize=6.5)
    axis.set_yticks(range(len(order)), [f"{name.replace('_', ' ')}  {place + 1}" for place, name in enumerate(order)])
    axis.set_xticks(range(len(table.columns)), table.columns)
    axis.set_xlabel("budget (effective bits a weight)")
    axis.grid(visible=False)


def _cost(axis: Axes, overall: pd.DataFrame, passes: pd.Series) -> None:
    for place, (score, row) in enumerate(overall.iterrows()):
        x, y = 1 + passes.get(score, 0.0), max(row["regret"], LEAST)
        bars = [[max(y - max(row["low"], LEAST), 0)], [max(row["high"] - y, 0)]] if np.isfinite(row["high"]) else None
        axis.errorbar(x, y, bars, fmt="o", color=COLOURS[0], markersize=4, elinewidth=0.8)
        side = {"ha": "left", "xytext": (5, 2)} if place % 2 else {"ha": "right", "xytext": (-5, -7)}
        axis.annotate(str(place + 1), (x, y), textcoords="offset points", fontsize=7, **side)
    axis.set(xscale="log", yscale="log")
    axis.set_xlabel("1 + forward passes over the calibration blocks")
    axis.set_ylabel("mean regret (nats per token)")
    axis.margins(x=0.25)
