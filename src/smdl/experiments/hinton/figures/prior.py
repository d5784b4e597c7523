"""The learned coding prior over the weights' histogram (figure 3 of Hinton and van Camp 1993)."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import norm

from smdl.experiments.hinton.figures.weights import shortest
from smdl.figures.style import COLOURS, STYLE, nothing

BINS = 60


def draw(runs: pd.DataFrame, weights: pd.DataFrame, prior: pd.DataFrame) -> Figure:
    """Density of the mixture and of its Gaussians, on a logarithmic axis, over the histogram of the weights' means."""
    dataset, _ = shortest(runs)
    means = weights.loc[weights["dataset"] == dataset, "mean"].dropna().to_numpy()
    own = prior[prior["dataset"] == dataset].dropna()
    if not len(means) or own.empty:
        return nothing("No network with noisy weights was trained, so no prior was learned.")
    reach = 1.1 * max(np.abs(means).max(), (own["mean"].abs() + 2 * own["std"]).max())
    # narrow Gaussians need points of their own
    near = np.linspace(-4, 4, 81)
    x = np.unique(
        np.concatenate(
            [np.linspace(-reach, reach, 801), *(m + s * near for m, s in zip(own["mean"], own["std"], strict=True))]
        )
    )
    x = x[np.abs(x) <= reach]
    parts = own["proportion"].to_numpy() * norm.pdf(x[:, None], own["mean"].to_numpy(), own["std"].to_numpy())
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(5.2, 3.2))
        bins = np.linspace(-reach, reach, BINS + 1)
        axis.hist(means, bins, density=True, color="0.8", label=f"means of the {len(means)} weights")
        for part in parts.T:
            axis.plot(x, part, color=COLOURS[5], linewidth=0.9)
        axis.plot([], [], color=COLOURS[5], linewidth=0.9, label=f"its {len(own)} Gaussians")
        axis.plot(x, parts.sum(1), color=COLOURS[1], linewidth=1.4, label="learned prior")
        axis.set(xlabel="weight", ylabel="probability density", yscale="log", xlim=(-reach, reach))
        axis.set_ylim(0.01 / len(means) / (bins[1] - bins[0]), 4 * parts.sum(1).max())
        axis.set_title(f"Coding prior, data set {dataset}")
        figure.legend(loc="outside lower center", ncols=3)
    return figure
