"""Loss and learning coefficient against the bits of a file, arm by arm."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smdl.experiments.motifs.arms import FREE, GPT_NEOX, MOTIFS, MOTIFS_AFTER, PRUNED, QUANTIZED, QUANTIZED_AFTER
from smdl.figures.style import COLOURS, MARKERS, STYLE, nothing
from smdl.foundation.interval import half_width

METHODS = (FREE, *MOTIFS.values(), QUANTIZED, PRUNED, QUANTIZED_AFTER, MOTIFS_AFTER)
LOOKS = dict(zip(METHODS, zip(COLOURS[::-1], MARKERS, strict=True), strict=True))


def draw(motifs: pd.DataFrame, margin: float) -> Figure:
    """Means over seeds with 95 % t intervals; hollow where not every LLC of an arm is ok, left out where none is.

    The band is free training with the ``margin`` (nats) of losses that count as good as it.
    """
    own = motifs[motifs["architecture"] == GPT_NEOX]
    if own.empty or FREE not in set(own["arm"]):
        return nothing("No freely trained model to compare with.")
    free = own.loc[own["arm"] == FREE, "loss"].mean()
    with plt.rc_context(STYLE):
        figure, (loss, llc) = plt.subplots(1, 2, figsize=(9.4, 4.4))
        loss.axhspan(free, free + margin, color="0.92", zorder=0, linewidth=0)
        for method, rows in sorted(own.groupby("method"), key=lambda group: METHODS.index(group[0])):
            _points(loss, rows, "loss", method)
            _points(llc, rows.groupby("arm").filter(lambda own: (own["status"] == "ok").any()), "llc", method)
        for axis in (loss, llc):
            axis.set_xscale("log", base=2)
            axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axis.set_xlabel("bits per weight, in a file that gives the weights back")
        loss.set_ylabel("loss on test blocks (nats per byte)")
        llc.set_ylabel(r"$\hat\lambda$")
        loss.set_title("Loss against description length")
        llc.set_title("Learning coefficient against description length")
        handles, labels = loss.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def _points(axis: Axes, rows: pd.DataFrame, column: str, method: str) -> None:
    colour, marker = LOOKS[method]
    for number, (_, own) in enumerate(rows.groupby("arm", sort=False)):
        whole = column != "llc" or (own["status"] == "ok").all()
        look = {"fmt": marker, "color": colour, "markersize": 5, "elinewidth": 0.9, "mfc": colour if whole else "white"}
        label = {"label": method} if number == 0 else {}
        x, y = own["bits_per_weight"], own[column]
        axis.errorbar(x.mean(), y.mean(), half_width(y.dropna()), half_width(x.dropna()), **look, **label)
