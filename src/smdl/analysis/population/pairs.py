"""Coupled pairs: two runs of one base point that differ in one factor only, at one stratum of matched loss."""

from collections import defaultdict
from itertools import combinations, product

import numpy as np
import pandas as pd
from scipy.special import ndtr

COLUMNS = ["first", "second", "point", "factor", "group"]


def coupled(rows: pd.DataFrame) -> pd.DataFrame:
    """A row per pair: the places of its two in ``rows``, the base point, the factor, and the number of its group.

    ``rows`` has point, kind, factor and stratum. A group is a base run with its neighbours in one factor, at one
    stratum: all its members differ in that factor only, so that each two of them are a pair.
    """
    bases, neighbours = defaultdict(list), defaultdict(lambda: defaultdict(list))
    columns = (rows[name] for name in ("point", "stratum", "kind", "factor"))
    for place, (point, stratum, kind, factor) in enumerate(zip(*columns, strict=True)):
        if kind == "base":
            bases[point, stratum].append(place)
        elif kind == "neighbour":
            neighbours[point, stratum][factor].append(place)
    found, group = [], 0
    for (point, stratum), factors in sorted(neighbours.items()):
        for factor, own in sorted(factors.items()):
            pairs = [*product(bases[point, stratum], own), *combinations(own, 2)]
            found += [(*pair, point, factor, group) for pair in pairs]
            group += bool(pairs)
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
