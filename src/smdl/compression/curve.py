"""Curves: delta loss of a scheme at every level, its tuned parameter chosen again at each."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from smdl.compression.loss import CompressionLoss, Decision, DeltaLoss
from smdl.compression.scheme import Scheme, Tuned

REACH = 2
"""How many values of the tuned parameter's lattice must be higher on either side of a minimum that is walked to."""
PARTS = 4
"""Into how many parts the lattice is divided on either side of its lowest value."""


@dataclass(frozen=True)
class CurvePoint:
    """Delta loss at a level and the tuned value that it is for; ``evaluations`` were made to get it.

    ``minimal`` says whether that value is the best one, or only good enough to put the level on a side of a tolerance;
    ``at_edge`` whether it is the outermost that was considered, so that a better one may lie beyond. ``crossfitted``
    are the rises of the loss on each block at the tuned value that is best on the other half of the blocks.
    """

    level: float
    seed: int
    delta: DeltaLoss
    tuned: float | None
    evaluations: int
    minimal: bool = True
    at_edge: bool = False
    crossfitted: np.ndarray | None = None

    @property
    def se(self) -> float:
        """Standard error of delta loss; it includes that the tuned value was chosen on the blocks evaluated.

        To the error over blocks at values that were chosen on other blocks comes the distance of their mean from delta
        loss, by which the choice flatters it.
        """
        if self.crossfitted is None:
            return self.delta.se
        own = replace(self.delta, differences=self.crossfitted)
        return math.hypot(own.se, own.value - self.delta.value)


def curve(loss: CompressionLoss, scheme: Scheme, levels: Sequence[float], seeds: Sequence[int]) -> list[CurvePoint]:
    """A point for every level and seed, in the order given; all blocks are evaluated, all tuned values considered."""
    return [point(loss, scheme, level, seed) for seed in seeds for level in levels]


def point(
    loss: CompressionLoss,
    scheme: Scheme,
    level: float,
    seed: int,
    start: float | None = None,
    decision: Decision | None = None,
) -> CurvePoint:
    """Delta loss at one level, minimised over the tuned parameter where the scheme has one.

    Delta loss is jagged in that parameter, with many local minima, so that what a line search finds depends on where
    it began. So the minimum is taken over a fixed lattice of values, then over a finer one around the lowest of them:
    where two searches end at the same value of the first, they end at the same number. Without ``start`` the whole
    lattice is tried; with it the minimum is walked to from there. Where the best value is an end of the lattice, the
    lattice goes on beyond that end for as long as delta loss falls. With a ``decision`` evaluations stop as soon as it
    is made, the walk at the first value below the tolerance, which the minimum is then below too, and the finer lattice
    is left out.
    """
    before = loss.evaluations
    tried: dict[float | None, DeltaLoss] = {}

    def value(tuned: float | None) -> float:
        if tuned not in tried:
            tried[tuned] = loss(scheme.compress(loss.weights, level, seed, tuned), decision)
        return tried[tuned].value

    if scheme.tuned is None:
        value(None)
    else:
        _minimise(value, scheme.tuned, start, decision)
    best = min(tried, key=lambda tuned: tried[tuned].value)
    minimal, at_edge = scheme.tuned is None or not decision, best is not None and scheme.tuned.at_edge(best)
    crossfitted = _crossfit(tried.values()) if minimal and scheme.tuned else None
    return CurvePoint(level, seed, tried[best], best, loss.evaluations - before, minimal, at_edge, crossfitted)


def _crossfit(tried: Iterable[DeltaLoss]) -> np.ndarray:
    """The rise of the loss on each block at the one of ``tried`` that is best on the other half of the blocks.

    The halves are every second block.
    """
    differences = np.stack([delta.differences for delta in tried if delta.complete])
    halves = [np.arange(differences.shape[1]) % 2 == half for half in (0, 1)]
    crossfitted = np.empty(differences.shape[1])
    for half, other in zip(halves, halves[::-1], strict=True):
        crossfitted[half] = differences[differences[:, other].mean(axis=1).argmin(), half]
    return crossfitted


def _minimise(value: Callable[[float], float], tuned: Tuned, start: float | None, decision: Decision | None) -> None:
    """Evaluate what ``point`` says of the values of the tuned parameter."""
    enough = decision.epsilon if decision else -math.inf
    if start is None:
        lowest = min(tuned.inner, key=lambda place: value(tuned.at(place)))
    else:
        lowest = _walk(value, tuned, start, enough)
    refined = math.inf if decision else _refine(value, tuned, lowest, tuned.inner)
    # A row whose value lies inside must not depend on what lies outside.
    if lowest in (tuned.inner[0], tuned.inner[-1]) and value(tuned.at(lowest)) <= refined:
        lowest = _outwards(value, tuned, lowest, enough)
        if not decision:
            _refine(value, tuned, lowest, tuned.outer)


def _walk(value: Callable[[float], float], tuned: Tuned, start: float, enough: float) -> int:
    """Downhill from ``start``: the inner place of the lattice with none lower within reach, or at most ``enough``."""
    place = min(tuned.inner, key=lambda other: abs(math.log(tuned.at(other) / start)))
    while True:
        within = [other for other in range(place - REACH, place + REACH + 1) if other in tuned.inner]
        for other in sorted(within, key=lambda other: abs(other - place)):
            if value(tuned.at(other)) <= enough:
                return other
        lowest = min(within, key=lambda other: value(tuned.at(other)))
        if value(tuned.at(lowest)) == value(tuned.at(place)):
            return place
        place = lowest


def _outwards(value: Callable[[float], float], tuned: Tuned, end: int, enough: float) -> int:
    """Beyond an ``end`` of the inner lattice: the place with none lower within reach, or at most ``enough``."""
    place, step = end, -1 if end == tuned.inner[0] else 1
    while value(tuned.at(place)) > enough:
        within = [other for other in range(place, place + (REACH + 1) * step, step) if other in tuned.outer]
        lowest = min(within, key=lambda other: value(tuned.at(other)))
        if lowest == place:
            break
        place = lowest
    return place


def _refine(value: Callable[[float], float], tuned: Tuned, lowest: int, places: range) -> float:
    """The least of the values between the lowest of the lattice and its two neighbours, as far as those are there."""
    at = tuned.at(lowest)
    between = [
        at * (tuned.at(neighbour) / at) ** (part / PARTS)
        for neighbour in (lowest - 1, lowest + 1)
        if neighbour in places
        for part in range(1, PARTS)
    ]
    return min(map(value, between), default=math.inf)
