"""Coupled pairs: two runs of one base point that differ in one factor only, at one stratum of matched loss."""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy.special import ndtr

COLUMNS = ["first", "second", "point", "factor", "group"]


def coupled(rows: pd.DataFrame) -> pd.DataFrame:
    """A row per pair: the places of its two in ``rows``, the base point, the factor, and the number of its group.

    ``rows`` has point, kind, factor and stratum. A group is a base run with its neighbours in one factor, at one
    stratum: all its members differ in that factor only, so that each two of them are a pair.
    """
    places = rows.reset_index(drop=True)
    found = []
    for (point, _), own in places.groupby(["point", "stratum"], sort=True):
        base = list(own.index[own["kind"] == "base"])
        for factor, neighbours in own[own["kind"] == "neighbour"].groupby("factor", sort=True):
            pairs = [*((one, other) for one in base for other in neighbours.index), *combinations(neighbours.index, 2)]
            group = found[-1]["group"] + 1 if found else 0
            found += [dict(zip(COLUMNS, (*pair, point, factor, group), strict=True)) for pair in pairs]
    return pd.DataFrame(found, columns=COLUMNS)


def agreement(x: np.ndarray, y: np.ndarray, pairs: pd.DataFrame) -> np.ndarray:
    """Of each pair the product of the signs of both differences: 1 where they agree, -1 where not, 0 for a tie."""
    first, second = pairs["first"].to_numpy(int), pairs["second"].to_numpy(int)
    return np.sign(x[first] - x[second]) * np.sign(y[first] - y[second])


def real(y: np.ndarray, y_se: np.ndarray, pairs: pd.DataFrame) -> np.ndarray:
    """How sure the sign of each pair's difference in ``y`` is: 2 Phi(|difference| / its error) - 1, in [0, 1].

    0 where the order of the two is a guess, 1 where it is certain; a missing error counts as none.
    """
    first, second = pairs["first"].to_numpy(int), pairs["second"].to_numpy(int)
    error = np.sqrt(np.nan_to_num(y_se[first]) ** 2 + np.nan_to_num(y_se[second]) ** 2)
    size = np.abs(y[first] - y[second])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(size > 0, 2 * ndtr(size / error) - 1, 0.0)
