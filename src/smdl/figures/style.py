"""The look that all figures share, and how they are saved."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib import colormaps
from matplotlib.figure import Figure

from smdl.foundation.files import replacing

# Okabe and Ito's palette: told apart by colour-blind readers as well; the pale yellow is left out on white paper.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
FAINT = 0.3

STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    "svg.hashsalt": "smdl",
    "svg.fonttype": "none",
}


def training_colours(count: int) -> list:
    """``count`` colours from early (dark) to late (bright) checkpoints; the palest end is left out."""
    return [colormaps["viridis"](0.92 * i / max(count - 1, 1)) for i in range(count)]


def nothing(why: str) -> Figure:
    """A figure that has nothing to draw: the sentence ``why`` says what is missing."""
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(5.2, 1.2), layout="none")
        figure.text(0.5, 0.5, why, ha="center", va="center", wrap=True)
    return figure


def save(figure: Figure, *paths: str) -> None:
    """Write a figure under every path atomically, its format given by the ending, with no date in it.

    Its parts are laid out once, which takes as long as to draw them: by the letters of pixels, which are the widest.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for path in paths:
        metadata = {"Date": None} if Path(path).suffix in {".svg", ".pdf"} else {}
        with replacing(path) as temporary:
            figure.savefig(temporary, metadata=metadata)
