"""One scheme, a row per variant: delta loss against level for every model, and the critical level against the LLC."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from smdl.figures.looks import label, of_setting, tolerance
from smdl.figures.style import COLOURS, FAINT, MARKERS, STYLE, nothing, training_colours

SHOWN_TOLERANCES = 4


def draw(curves: pd.DataFrame, points: pd.DataFrame, regressions: pd.DataFrame, *, scheme: str) -> Figure:
    """The headline's tolerance is the dashed line; points whose LLC is not admitted are hollow."""
    epsilon = tolerance(points)
    regressions, points = of_setting(regressions, points), of_setting(points, points)
    curves = curves[curves["scheme"] == scheme]
    points = points[(points["scheme"] == scheme) & (points["epsilon"] == epsilon)]
    if curves.empty or points.empty:
        return nothing(f"{scheme}: no checkpoint was compressed to the headline's tolerance.")
    fits = regressions[
        (regressions["scheme"] == scheme) & (regressions["epsilon"] == epsilon) & (regressions["window"] == "config")
    ]
    variants, models = list(curves["variant"].unique()), list(curves["model"].unique())
    steps = sorted(curves["step"].unique())
    colours = dict(zip(steps, training_colours(len(steps)), strict=True))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            len(variants),
            len(models) + 1,
            figsize=(2.9 * (len(models) + 1) + 0.6, 2.5 * len(variants)),
            squeeze=False,
        )
        for row, variant in zip(axes, variants, strict=True):
            own = curves[curves["variant"] == variant]
            for axis, model in zip(row, models, strict=False):
                _curves(axis, own[own["model"] == model], epsilon, colours)
                axis.set_title(f"{label(scheme, variant)}\n{model}")
            own_points, lines = (table[table["variant"] == variant] for table in (points, fits))
            _against_llc(row[-1], own_points, lines, own["unit"].iloc[0], models)
            row[-1].set_title(f"{label(scheme, variant)}\ncritical level at {epsilon:g} nats")
            row[0].set_ylabel(r"$\Delta$ loss (nats per token)")
        _bar(figure, axes[:, -2], steps)
    return figure


def _curves(axis: Axes, own: pd.DataFrame, epsilon: float, colours: dict) -> None:
    """A line per step and seed: seeds may have been evaluated at different levels, so a mean over them would jump."""
    for (step, _), line in own.groupby(["step", "seed"]):
        axis.plot(line["coordinate"], line["delta_loss"], color=colours[step], linewidth=0.9, marker=".", markersize=3)
    axis.axhline(epsilon, color="black", linewidth=0.8, linestyle="--")
    axis.set_ylim(-0.1 * epsilon, SHOWN_TOLERANCES * epsilon)
    axis.set_xlabel(f"level ({own['unit'].iloc[0]})")
    shown = own[own["delta_loss"] < SHOWN_TOLERANCES * epsilon]["coordinate"]
    if len(shown) and np.ptp(shown) > 0:
        margin = 0.08 * np.ptp(shown)
        axis.set_xlim(shown.min() - margin, shown.max() + margin)


def _against_llc(axis: Axes, points: pd.DataFrame, fits: pd.DataFrame, unit: str, models: list[str]) -> None:
    points = points.dropna(subset=["coordinate"])
    for i, model in enumerate(models):
        own = points[points["model"] == model]
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        fit = fits[fits["model"] == model]
        r2 = fit["r2"].iloc[0] if len(fit) else np.nan
        name = f"{model}: $R^2$ = {r2:.2f}" if np.isfinite(r2) else f"{model}: no fit"
        for admitted, look in ((True, {"label": name}), (False, {"markerfacecolor": "none", "alpha": 2 * FAINT})):
            part = own[own["admitted"] == admitted]
            axis.errorbar(
                part["llc"],
                part["coordinate"],
                xerr=part["llc_se"],
                yerr=part["coordinate_se"],
                fmt=marker,
                color=colour,
                markersize=4,
                elinewidth=0.7,
                **look,
            )
    axis.set_xlabel(r"local learning coefficient $\hat\lambda$")
    axis.set_ylabel(f"critical level ({unit})")
    axis.legend(loc="best", fontsize=7)


def _bar(figure: Figure, axes: np.ndarray, steps: list[int]) -> None:
    bar = figure.colorbar(
        ScalarMappable(
            BoundaryNorm(np.arange(len(steps) + 1), len(steps)), ListedColormap(training_colours(len(steps)))
        ),
        ax=list(axes),
        pad=0.02,
        aspect=40,
    )
    shown = range(0, len(steps), max(len(steps) // 6, 1))
    bar.set_ticks([i + 0.5 for i in shown], labels=[f"{steps[i]}" for i in shown], fontsize=7)
    bar.ax.minorticks_off()
    bar.set_label("training step", fontsize=8)
