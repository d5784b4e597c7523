"""Size at the tolerance, in bits per parameter, of every scheme on one axis over training: a panel per model."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from smdl.figures.looks import label, looks, of_setting, tolerance
from smdl.figures.style import STYLE, nothing


def draw(points: pd.DataFrame) -> Figure:
    """A line per variant, broken where the loss never crosses the tolerance."""
    epsilon = tolerance(points)
    table = of_setting(points, points)
    table = table[table["epsilon"] == epsilon].dropna(subset=["status"])
    if table.empty:
        return nothing("No checkpoint has a critical level at the headline's tolerance.")
    models, look = list(table["model"].unique()), looks(table)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(models), figsize=(3.0 * len(models) + 2.2, 4.2), squeeze=False, sharey=True)
        for axis, model in zip(axes[0], models, strict=True):
            of_model = table[table["model"] == model].sort_values("step")
            for (scheme, variant), style in look.items():
                own = of_model[(of_model["scheme"] == scheme) & (of_model["variant"] == variant)]
                axis.plot(
                    own["step"],
                    own["bits_per_parameter"],
                    label=label(scheme, variant),
                    markersize=3.5,
                    linewidth=1.1,
                    **style,
                )
            axis.set_title(model)
            axis.set_xlabel("training step")
            axis.set_yscale("log", base=2)
            axis.yaxis.set_major_formatter(lambda bits, _: f"{bits:g}")
        axes[0, 0].set_ylabel(f"size at a rise of {epsilon:g} nats (bits per parameter)")
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center", fontsize=7)
    return figure
