"""The exact solver that all scores share: least sum of damages under a budget of bits.

Dynamic programming over the matrices. A state is a sum of sizes with the least damage that reaches it; one that is
neither smaller nor better than another is dropped, so that what is left is the frontier, and every budget can be read
from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Frontier:
    """The allocations that no other beats: total ``sizes`` (bits), rising, total ``damages``, falling.

    ``choices`` are their options, matrix by matrix, shape (allocations, matrices).
    """

    sizes: np.ndarray
    damages: np.ndarray
    choices: np.ndarray

    def within(self, budget: float) -> np.ndarray | None:
        """The options of least damage whose sizes sum to at most ``budget`` bits; None where none does."""
        place = int(np.searchsorted(self.sizes, budget, side="right")) - 1
        return None if place < 0 else self.choices[place]


def solve(damages: np.ndarray, sizes: np.ndarray) -> Frontier:
    """The frontier over all ways to give each matrix one of its options; both arrays (matrices, options).

    ``sizes`` are whole bits. Of equal sums of damages the smaller size is taken.
    """
    total, damage = np.zeros(1, dtype=np.int64), np.zeros(1)
    steps: list[tuple[np.ndarray, np.ndarray]] = []
    for own_damages, own_sizes in zip(damages, np.asarray(sizes, dtype=np.int64), strict=True):
        sums = (total[:, None] + own_sizes).ravel()
        costs = (damage[:, None] + own_damages).ravel()
        order = np.lexsort((costs, sums))
        best = np.minimum.accumulate(costs[order])
        kept = order[np.append(True, costs[order][1:] < best[:-1])]
        steps.append(np.divmod(kept, len(own_sizes)))
        total, damage = sums[kept], costs[kept]
    return Frontier(total, damage, _traced(steps))


def _traced(steps: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The options of every last state; a step holds each state's predecessor and its option."""
    choices = np.empty((len(steps[-1][0]), len(steps)), dtype=np.int64)
    states = np.arange(len(choices))
    for place in reversed(range(len(steps))):
        before, option = steps[place]
        choices[:, place] = option[states]
        states = before[states]
    return choices
