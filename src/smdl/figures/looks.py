"""What the figures of several schemes share: names, looks, and the order of variants."""

from itertools import cycle
from typing import Any

import pandas as pd
from matplotlib import colormaps

from smdl.figures.style import COLOURS, MARKERS
from smdl.runtime.names import in_figure

LINES = ("-", "--", ":", "-.")


def label(scheme: str, variant: str) -> str:
    """How a variant is called in a figure; one that is named like its scheme only once."""
    return scheme if scheme == variant else f"{scheme}: {in_figure(variant)}"


def of_headline(table: pd.DataFrame, headline: dict[str, Any]) -> pd.Series:
    """Which of a table's rows are of the headline's scheme and variant."""
    return (table["scheme"] == headline["scheme"]) & (table["variant"] == headline["variant"])


def variants(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Scheme and variant of a table's rows, in order of appearance."""
    return list(table[["scheme", "variant"]].drop_duplicates().itertuples(index=False, name=None))


def looks(table: pd.DataFrame) -> dict[tuple[str, str], dict]:
    """A colour and marker a scheme, a line style a variant."""
    schemes = list(dict.fromkeys(scheme for scheme, _ in variants(table)))
    colours = COLOURS if len(schemes) <= len(COLOURS) else colormaps["tab10"].colors
    look = {
        scheme: {"color": colours[i % len(colours)], "marker": MARKERS[i % len(MARKERS)]}
        for i, scheme in enumerate(schemes)
    }
    lines = {scheme: cycle(LINES) for scheme in schemes}
    return {
        (scheme, variant): {**look[scheme], "linestyle": next(lines[scheme])} for scheme, variant in variants(table)
    }
