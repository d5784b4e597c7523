"""Volume scaling: log volume of the sublevel sets against log eps, and what is left after the exact exponents."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from smdl.figures.style import STYLE, nothing

COLUMNS = 5
EXACT, SPLITTING = "#0072B2", "#D55E00"


def draw(volumes: pd.DataFrame, theory: pd.DataFrame, **_: float) -> Figure:
    """One panel a model: points of splitting with their spread, the exact integral, and the fitted law."""
    fits = theory.set_index(["model", "method"])
    volumes = volumes.dropna(subset=["eps", "log_volume"])
    measured = volumes.drop_duplicates(["model", "method"]).itertuples()
    fitted = {row.model: None for row in measured if (row.model, row.method) in fits.index}
    models = list(fitted)
    if not models:
        return nothing("No volume was measured and fitted.")
    rows = -(-len(models) // COLUMNS)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(rows, COLUMNS, figsize=(11, 2.5 * rows), squeeze=False)
        for axis, name in zip(axes.flat, models, strict=False):
            own = volumes[volumes["model"] == name]
            for method, colour, marker in (("volume_exact", EXACT, "-"), ("volume_splitting", SPLITTING, "o")):
                curve = own[own["method"] == method].groupby("eps")["log_volume"].agg(["mean", "std"])
                if curve.empty or (name, method) not in fits.index:
                    continue
                fit = fits.loc[(name, method)]
                label = (
                    rf"{method.split('_')[1]}: $\hat\lambda$ = {fit['lambda_fit']:.3f}, $\hat m$ = {fit['m_fit']:.0f}"
                )
                error = {"yerr": curve["std"]} if marker == "o" else {}
                every = slice(None, None, 2 if marker == "o" else 1)
                error = {key: value.iloc[every] for key, value in error.items()}
                axis.errorbar(
                    curve.index[every],
                    curve["mean"].iloc[every],
                    fmt=marker,
                    color=colour,
                    markersize=3,
                    label=label,
                    **error,
                )
                logs = -np.log(curve.index.to_numpy())
                law = fit["lambda_fit"] * logs - (fit["m_fit"] - 1) * np.log(logs + fit["shift"]) + fit["constant"]
                if marker == "o":
                    axis.plot(curve.index, -law, color="black", linewidth=0.8)
            axis.set_title(rf"{name}: $\lambda$ = {fit['lambda_true']:g}, $m$ = {fit['m_true']:.0f}")
            axis.set_xscale("log")
            axis.set_ylim(top=axis.get_ylim()[1] + 0.35 * np.ptp(axis.get_ylim()))
            axis.legend(loc="upper left", fontsize=6.5, handlelength=1.2)
        for axis in axes.flat[len(models) :]:
            axis.set_visible(False)
        for axis in axes[-1]:
            axis.set_xlabel(r"$\epsilon$ (nats)")
        for axis in axes[:, 0]:
            axis.set_ylabel(r"log volume of $\{K \leq \epsilon\}$ (nats)")
    return figure
