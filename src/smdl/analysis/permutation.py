"""p values of rank correlations by permutation: exact for few points, which must be independent of each other."""

from itertools import permutations
from math import factorial

import numpy as np

EXACT = 9
"""Up to so many points every order is looked at (9! = 362,880)."""
DRAWN = 99_999
"""Orders drawn where there are more points; the least p value is then 1e-5."""


def orders(n: int, seed: int = 0) -> tuple[np.ndarray, int]:
    """Orders of ``n`` points, shape (orders, n), and how many to add to a count of them and to their number.

    All orders, and nothing to add; or drawn ones, to which the order that was seen is added.
    """
    if n <= EXACT:
        every = np.fromiter((place for order in permutations(range(n)) for place in order), np.int8)
        return every.reshape(factorial(n), n), 0
    rng = np.random.default_rng(seed)
    return rng.permuted(np.tile(np.arange(n), (DRAWN, 1)), axis=1), 1


def p_values(x_ranks: np.ndarray, y_ranks: np.ndarray, drawn: tuple[np.ndarray, int]) -> np.ndarray:
    """Two-sided p value of the rank correlation of each column of ``x_ranks``, (n, m), with ``y_ranks``, (n,).

    It is the share of the ``orders`` of y whose correlation is at least as far from 0 as the one seen. NaN where either
    side does not vary.
    """
    places, extra = drawn
    x, y = x_ranks - x_ranks.mean(0), y_ranks - y_ranks.mean()
    seen = np.abs(y @ x)
    # Sums in another order differ in their last digits.
    beyond = (np.abs(y[places] @ x) >= seen * (1 - 1e-9) - 1e-9).sum(0)
    vary = (np.ptp(x, axis=0) > 0) & (np.ptp(y) > 0)
    return np.where(vary, (beyond + extra) / (len(places) + extra), np.nan)
