"""The verdicts on what was expected of a population, condition by condition."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from smdl.figures.style import COLOURS, STYLE, nothing
from smdl.foundation.names import in_figure

COLOUR = {"yes": COLOURS[2], "no": COLOURS[1], "not known": "0.6"}
LINE = 0.24


def draw(expectations: pd.DataFrame) -> Figure:
    """A line per condition: its value with its interval, the threshold, and whether it holds; claims in blocks."""
    if expectations.empty:
        return nothing("Nothing was expected.")
    blocks = list(expectations.groupby("claim", sort=False))
    heights = [len(own) + 1.6 for _, own in blocks]
    with plt.rc_context(STYLE):
        size = (11, 0.8 + LINE * sum(heights))
        figure, axes = plt.subplots(len(blocks), 1, figsize=size, squeeze=False, height_ratios=heights, sharex=True)
        for axis, (claim, own) in zip(axes[:, 0], blocks, strict=True):
            axis.axvline(0, color="0.5", linewidth=0.8)
            for place, row in enumerate(own.itertuples(index=False)):
                colour = COLOUR[row.holds]
                axis.hlines(place, row.low, row.high, color=colour, linewidth=1.4)
                axis.plot(row.value, place, "o", color=colour, markersize=4)
                axis.text(
                    1.02, place, f"{row.threshold}: {row.holds}", transform=axis.get_yaxis_transform(), va="center"
                )
            named = own["family"] + ", " + own["side"] + " by " + own["statistic"]
            axis.set_yticks(range(len(own)), list(map(in_figure, named)))
            axis.set_ylim(len(own) - 0.4, -0.6)
            axis.set_title(f"{in_figure(claim)}: {own['verdict'].iloc[0]}", loc="left", fontweight="bold")
        axes[-1, 0].set_xlabel("value, with its 95 % interval")
    return figure
