"""Redundancy of the volume code and of the regular code against log n."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from smdl.figures.style import COLOURS, MARKERS, STYLE, nothing

LABELS = {"redundancy": "volume code", "redundancy_grid": "regular code"}


def draw(redundancy: pd.DataFrame, theory: pd.DataFrame, **_: float) -> Figure:
    """One panel a model: mean over codebooks and draws with two standard errors, the fits, and the real codewords."""
    fits = theory.set_index(["model", "method"])
    names = [name for name in redundancy["model"].unique() if all((name, code) in fits.index for code in LABELS)]
    if not names:
        return nothing("No code's redundancy was measured and fitted.")
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(names), figsize=(2.4 * len(names), 3.1), squeeze=False)
        for axis, name in zip(axes[0], names, strict=True):
            own = redundancy[redundancy["model"] == name]
            for (code, label), colour, marker in zip(LABELS.items(), COLOURS, MARKERS, strict=False):
                curve = own[own["code"] == code].groupby("n")["redundancy"].agg(["mean", "sem"])
                fit = fits.loc[(name, code)]
                sizes = curve.index.to_numpy(float)
                slope = rf"{label}: {fit['lambda_fit']:.2f} ({fit['lambda_true']:g})"
                if fit["m_true"] > 1 or fit["m_fit"] > 1:
                    slope += rf", $m$: {fit['m_fit']:.0f} ({fit['m_true']:.0f})"
                axis.errorbar(
                    sizes, curve["mean"], yerr=2 * curve["sem"], fmt=marker, color=colour, markersize=3.5, label=slope
                )
                logs = np.log(sizes)
                law = fit["lambda_fit"] * logs - (fit["m_fit"] - 1) * np.log(logs + fit["shift"]) + fit["constant"]
                axis.plot(sizes, law, color=colour, linewidth=1)
            coded = own[own["decoded"] > 0].groupby("n")["coded_bits"].mean() * np.log(2)
            axis.plot(coded.index, coded, "x", color="black", markersize=5, label="real codewords, decoded")
            axis.set_xscale("log")
            axis.set_ylim(top=axis.get_ylim()[1] * 1.45)
            axis.set_title(name.replace("_", " "))
            axis.set_xlabel("observations $n$")
            axis.legend(loc="upper left", fontsize=6.5, handlelength=1.2)
        axes[0, 0].set_ylabel("redundancy $R_n$ (nats)")
    return figure
