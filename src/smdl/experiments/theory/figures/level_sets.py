"""Level sets, sampler clouds and loss histograms of the models on the plane (figures 1 and 2 of arXiv:2510.12077)."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smdl.experiments.theory.models import HALF_WIDTH, MODELS, Model
from smdl.figures.style import COLOURS, STYLE, nothing

LEVELS = (1e-3, 1e-2, 1e-1, 1e0)
NODES = 401
SHOWN = 2000
BINS = 60
# Fraction of the draws that the histograms show; the rest is a thin tail.
TAIL = 0.99


def draw(clouds: pd.DataFrame, theory: pd.DataFrame, n_beta: float, gamma: float) -> Figure:
    """Above: draws over the sublevel sets. Below: histogram of n_beta K with its mean, the estimate."""
    fits = theory[theory["method"] == "sampler"].set_index("model")
    clouds = clouds.dropna(subset=["excess"])
    names = [name for name in clouds["model"].unique() if name in fits.index]
    if not names:
        return nothing("The sampler has drawn nothing.")
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, len(names), figsize=(2.3 * len(names), 4.6), squeeze=False)
        for column, name in zip(axes.T, names, strict=True):
            own = clouds[clouds["model"] == name]
            _cloud(column[0], MODELS[name], own)
            _histogram(column[1], own, fits.loc[name], n_beta)
            column[0].set_title(
                MODELS[name].formula.replace("tanh", " tanh") if name != "tanh" else "E (b tanh ax)^2 / 2"
            )
            column[0].set_xlabel(r"$w_1$")
            column[1].set_xlabel(rf"$n\beta K$ (nats), $n\beta$ = {n_beta:g}")
        axes[0, 0].set_ylabel(r"$w_2$")
        axes[1, 0].set_ylabel("density of draws")
    return figure


def _cloud(axis: Axes, model: Model, own: pd.DataFrame) -> None:
    side = torch.linspace(-HALF_WIDTH, HALF_WIDTH, NODES, dtype=torch.float64)
    first, second = torch.meshgrid(side, side, indexing="xy")
    k = model.excess(torch.stack([first, second], -1))
    axis.contourf(first, second, np.log10(np.maximum(k, 1e-12)), levels=[-12, *np.log10(LEVELS)], cmap="Blues_r")
    shown = own.iloc[:: max(1, len(own) // SHOWN)]
    axis.scatter(shown["w0"], shown["w1"], s=1.5, color=COLOURS[1], alpha=0.5, linewidths=0)
    axis.set(xlim=(-HALF_WIDTH, HALF_WIDTH), ylim=(-HALF_WIDTH, HALF_WIDTH), aspect="equal")
    axis.grid(visible=False)


def _histogram(axis: Axes, own: pd.DataFrame, fit: pd.Series, n_beta: float) -> None:
    scaled = n_beta * own["excess"]
    axis.hist(scaled, bins=BINS, range=(0, scaled.quantile(TAIL)), density=True, color=COLOURS[5])
    half = (fit["lambda_high"] - fit["lambda_low"]) / 2
    axis.axvline(
        fit["lambda_fit"], color=COLOURS[1], label=rf"$\hat\lambda$ = {fit['lambda_fit']:.3f} $\pm$ {half:.3f}"
    )
    axis.axvline(fit["tempered"], color="black", linestyle=":", label=rf"exact here: {fit['tempered']:.3f}")
    axis.axvline(fit["lambda_true"], color="black", linestyle="--", label=rf"$\lambda$ = {fit['lambda_true']:g}")
    axis.set_yscale("log")
    axis.legend(loc="upper right", fontsize=7, handlelength=1.4)
