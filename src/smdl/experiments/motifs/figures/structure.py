"""What training changes in the complexity of weights, and how much of that is their arrangement."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smdl.experiments.motifs.complexity import LAYERS
from smdl.experiments.motifs.statements import HARNESSED, SIMPLER, STRUCTURE
from smdl.figures.style import COLOURS, MARKERS, STYLE, nothing

START = f"{LAYERS}, "
# A statement, and the end of the names of the tests that are drawn of it.
PANELS = (
    (SIMPLER, "", "from initialised to trained"),
    (STRUCTURE, ", trained, permuted", "from permuted to trained"),
    (HARNESSED, ", trained, permuted", "of the squared error\nfrom permuted to trained"),
)


def draw(motifs_tests: pd.DataFrame) -> Figure:
    """Relative falls in percent with 95 % t intervals, a colour an architecture; bold are the tests that decide."""
    parts = [_drawn(motifs_tests, statement.name, ending) for statement, ending, _ in PANELS]
    if any(part.empty for part in parts):
        return nothing("No freely trained model to look at.")
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(PANELS), figsize=(12, 5), width_ratios=[1, 1, 0.8])
        for axis, part, (statement, _, what) in zip(axes, parts, PANELS, strict=True):
            _forest(axis, part)
            axis.set_title(statement.name)
            axis.set_xlabel(f"fall {what} (%)")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def _drawn(tests: pd.DataFrame, statement: str, ending: str) -> pd.DataFrame:
    what = tests["what"]
    own = tests[(tests["statement"] == statement) & what.str.startswith(START) & what.str.endswith(ending)]
    return own.assign(what=own["what"].str.removeprefix(START).str.removesuffix(ending))


def _forest(axis: Axes, rows: pd.DataFrame) -> None:
    names = list(dict.fromkeys(rows["what"]))
    decisive = set(rows.loc[rows["decides"], "what"])
    places = {name: -place for place, name in enumerate(names)}
    for shift, ((architecture, own), colour, marker) in enumerate(
        zip(rows.groupby("architecture", sort=False), COLOURS, MARKERS, strict=False)
    ):
        mean = 100 * own["estimate"]
        ends = np.abs(100 * own[["low", "high"]].to_numpy().T - mean.to_numpy())
        y = own["what"].map(places) + 0.15 - 0.3 * shift
        look = {"fmt": marker, "color": colour, "markersize": 3.5, "elinewidth": 0.9}
        axis.errorbar(mean, y, xerr=ends, label=architecture.replace("_", "-"), **look)
    margin = 100 * rows["margin"].iloc[0]
    axis.axvspan(-margin, margin, color="0.92", zorder=0, linewidth=0)
    axis.axvline(0, color="0.3", linewidth=0.8, zorder=1)
    axis.set_yticks(list(places.values()), [name.replace(", ", ",\n") for name in names])
    for label, name in zip(axis.get_yticklabels(), names, strict=True):
        label.set_fontweight("bold" if name in decisive else "normal")
