"""Critical level against LLC: the study's central figure."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smdl.figures.looks import of_curve
from smdl.figures.style import COLOURS, FAINT, MARKERS, STYLE, nothing
from smdl.foundation.names import in_figure
from smdl.published import critical_bits


def draw(points: pd.DataFrame, regressions: pd.DataFrame) -> Figure:
    """A panel per setting of the sampler; in each one fit per model over its window.

    Points outside the window are faint, those whose LLC is not admitted hollow; where the published
    study holds the model, its points are crosses.
    """
    points = of_curve(points, points).dropna(subset=["coordinate", "llc"])
    if points.empty:
        return nothing("No checkpoint has both an LLC and a critical level of the headline.")
    scheme, variant, epsilon, unit = points[["scheme", "variant", "epsilon", "unit"]].iloc[0]
    fits = of_curve(regressions[regressions["window"] == "config"], points)
    first = points.loc[points["headline"], "setting"].head(1)
    settings = sorted(points["setting"].unique(), key=lambda name: name not in first.tolist())
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1, len(settings), figsize=(0.4 + 4.8 * len(settings), 3.9), sharey=True, squeeze=False
        )
        for axis, setting in zip(axes[0], settings, strict=True):
            lines = fits[fits["setting"] == setting].set_index("model")
            _panel(axis, points[points["setting"] == setting], lines, published=setting in first.tolist())
            axis.set_title(f"setting {in_figure(setting)}")
        axes[0, 0].set_ylabel(rf"critical level ({unit}) at $\epsilon$ = {epsilon:g} nats")
        figure.suptitle(f"{scheme}, {in_figure(variant)}: critical level against LLC")
    return figure


def _panel(axis: Axes, points: pd.DataFrame, fits: pd.DataFrame, published: bool) -> None:
    values = critical_bits()
    for i, (model, own) in enumerate(points.groupby("model", sort=False)):
        colour = COLOURS[i % len(COLOURS)]
        _points(axis, own, colour, MARKERS[i % len(MARKERS)])
        if model in fits.index:
            _line(axis, own, fits.loc[model], colour)
        else:
            look = {"color": colour, "marker": MARKERS[i % len(MARKERS)], "alpha": FAINT, "linestyle": ""}
            axis.plot([], [], label=f"{model}: no line is fitted", **look)
        if published:
            _published(axis, values[values["model"] == model], colour)
    axis.set_xlabel(r"local learning coefficient $\hat\lambda$")
    axis.legend(loc="best")


def _points(axis: Axes, own: pd.DataFrame, colour: str, marker: str) -> None:
    inside, admitted = own["in_window"], own["admitted"]
    for shown, look in (
        (inside & admitted, {"color": colour}),
        (~inside & admitted, {"color": colour, "alpha": FAINT}),
        (~admitted, {"color": colour, "alpha": 0.6, "markerfacecolor": "none"}),
    ):
        axis.errorbar(
            own.loc[shown, "llc"],
            own.loc[shown, "coordinate"],
            xerr=own.loc[shown, "llc_se"],
            yerr=own.loc[shown, "coordinate_se"],
            fmt=marker,
            markersize=4.5,
            elinewidth=0.8,
            **look,
        )


def _line(axis: Axes, own: pd.DataFrame, fit: pd.Series, colour: str) -> None:
    if not np.isfinite(fit["slope"]):
        return
    inside = own["in_window"] & own["admitted"]
    x = np.array([own.loc[inside, "llc"].min(), own.loc[inside, "llc"].max()])
    label = rf"{fit.name}: $R^2$ = {fit['r2']:.3f}, $n$ = {fit['n']}, steps {fit['first']} to {fit['last']}"
    axis.plot(x, fit["intercept"] + fit["slope"] * x, color=colour, linewidth=1.4, label=label)


def _published(axis: Axes, own: pd.DataFrame, colour: str) -> None:
    if len(own):
        axis.plot(own["llc"], own["critical_bits"], "x", color=colour, markersize=4, label="published")
