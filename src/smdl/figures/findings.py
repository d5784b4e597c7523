"""What the audit found: the loss over training, and every checkpoint of the study with what speaks against it."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from smdl.figures.style import COLOURS, FAINT, MARKERS, STYLE, nothing
from smdl.models.audit import REASONS

REASON_MARKERS = dict(zip(REASONS, ("X", "d", "v", "D", "s", "^"), strict=True))
REASON_COLOUR = "#B2182B"


def draw(audit: pd.DataFrame) -> Figure:
    """Two panels over one axis of training steps, from the table ``audit``: losses above, verdicts below."""
    if audit.empty:
        return nothing("The audit has seen no checkpoint.")
    with plt.rc_context(STYLE):
        return _draw(audit)


def _draw(findings: pd.DataFrame) -> Figure:
    models = list(dict.fromkeys(findings["model"]))
    figure, (above, below) = plt.subplots(
        2, 1, sharex=True, figsize=(6.4, 3.6 + 0.22 * len(models)), height_ratios=[10, 2 + 1.2 * len(models)]
    )
    for index, model in enumerate(models):
        rows = findings[findings["model"] == model].sort_values("step")
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
        _losses(above, rows, colour, marker, model)
        _verdicts(below, rows, len(models) - 1 - index, colour)
    above.set_xscale("symlog", linthresh=1000)
    steps = sorted(findings["step"].unique())
    below.set_xticks(steps, [f"{step:,}" for step in steps], rotation=60, ha="right")
    below.minorticks_off()
    above.set_ylabel("loss (nats per token)")
    above.legend(ncols=2 if len(models) > 5 else 1, loc="upper right")
    below.set_xlabel("training step")
    below.set_yticks(range(len(models)), models[::-1])
    below.set_ylim(-0.7, len(models) - 0.3)
    figure.legend(handles=_legend(), ncols=3, loc="outside lower center")
    return figure


def _losses(axes: Axes, rows: pd.DataFrame, colour: str, marker: str, model: str) -> None:
    sound, excluded = rows[~rows["excluded"]], rows[rows["excluded"]]
    axes.errorbar(
        sound["step"], sound["loss"], sound["loss_se"], color=colour, marker=marker, markersize=4, label=model
    )
    axes.plot(excluded["step"], excluded["loss"], marker, color=colour, markerfacecolor="white", markersize=5)


def _verdicts(axes: Axes, rows: pd.DataFrame, height: int, colour: str) -> None:
    axes.plot(rows["step"], [height] * len(rows), color=colour, alpha=FAINT, linewidth=1)
    sound = rows[~rows["excluded"]]
    axes.plot(sound["step"], [height] * len(sound), "o", color=colour, markersize=4)
    for row in rows[rows["excluded"]].itertuples():
        axes.plot(row.step, height, REASON_MARKERS[row.reason.split("; ")[0]], color=REASON_COLOUR, markersize=6)


def _legend() -> list[Line2D]:
    sound = Line2D([], [], linestyle="", marker="o", color="#555555", markersize=4, label="sound")
    return [sound] + [
        Line2D([], [], linestyle="", marker=marker, color=REASON_COLOUR, label=reason)
        for reason, marker in REASON_MARKERS.items()
    ]
