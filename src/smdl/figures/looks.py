"""What the figures of several schemes share: names, looks, and the order of variants."""

from itertools import cycle

import pandas as pd
from matplotlib import colormaps

from smdl.figures.style import COLOURS, MARKERS
from smdl.foundation.names import in_figure

LINES = ("-", "--", ":", "-.")


def label(scheme: str, variant: str) -> str:
    """How a variant is called in a figure; one that is named like its scheme only once."""
    return scheme if scheme == variant else f"{scheme}: {in_figure(variant)}"


def of_headline(table: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table that are of the headline's scheme and variant; none where no point is of the headline."""
    names = ["scheme", "variant"]
    return table[(table[names] == _headline(points)[names]).all(axis=1)]


def of_curve(table: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table that are of the headline's scheme, variant and tolerance, at any setting of the sampler."""
    names = ["scheme", "variant", "epsilon"]
    return table[(table[names] == _headline(points)[names]).all(axis=1)]


def of_setting(table: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table that are of the headline's setting of the sampler; none where no point is of the headline."""
    return table[table["setting"] == _headline(points)["setting"]]


def tolerance(points: pd.DataFrame) -> float:
    """The headline's tolerance (nats); NaN where no point is of the headline."""
    return float(_headline(points)["epsilon"])


def _headline(points: pd.DataFrame) -> pd.Series:
    """The first point of the headline; a row of NaN where there is none."""
    return points[points["headline"]].head(1).reset_index(drop=True).reindex([0]).iloc[0]


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
