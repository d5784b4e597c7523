"""Size at the tolerance, in bits a parameter, of every scheme on one axis over training: a panel a model."""

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from smdl.figures.looks import label, looks
from smdl.figures.style import STYLE, nothing


def draw(critical: pd.DataFrame, headline: dict[str, Any], **_: Any) -> Figure:
    """A line a variant, broken where the loss never crosses the tolerance."""
    table = critical[critical["epsilon"] == headline["epsilon"]]
    if table.empty:
        return nothing(f"No checkpoint has a critical level at {headline['epsilon']:g} nats.")
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
        axes[0, 0].set_ylabel(f"size at a rise of {headline['epsilon']:g} nats (bits a parameter)")
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center", fontsize=7)
    return figure
