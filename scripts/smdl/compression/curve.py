"""Curves: delta loss of a scheme at every level, its tuned parameter chosen anew at each."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from smdl.compression.loss import CompressionLoss, Decision, DeltaLoss
from smdl.compression.scheme import Scheme

REACH = 2
"""How many values of the tuned parameter's lattice must be higher on either side of a minimum that is walked to."""
PARTS = 4
"""Into how many parts the lattice is divided on either side of its lowest value."""


@dataclass(frozen=True)
class CurvePoint:
    """Delta loss at a level and the tuned value that it is for; ``evaluations`` were made to get it.

    ``minimal`` says whether that value is the best one, or only good enough to put the level on a side of a tolerance.
    """

    level: float
    seed: int
    delta: DeltaLoss
    tuned: float | None
    evaluations: int
    minimal: bool = True


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
    lattice is tried; with it the minimum is walked to from there. With a ``decision`` evaluations stop as soon as it is
    made, the walk at the first value below the tolerance, which the minimum is then below too, and the finer lattice is
    left out.
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
        lattice = scheme.tuned.lattice
        if start is None:
            lowest = min(range(len(lattice)), key=lambda place: value(lattice[place]))
        else:
            lowest = _walk(value, lattice, start, decision.epsilon if decision else -math.inf)
        if decision is None:
            _refine(value, lattice, lowest)
    best = min(tried, key=lambda tuned: tried[tuned].value)
    return CurvePoint(level, seed, tried[best], best, loss.evaluations - before, scheme.tuned is None or not decision)


def _walk(value: Callable[[float], float], lattice: Sequence[float], start: float, enough: float) -> int:
    """Downhill from ``start``: the place in the lattice with none lower within reach, or at most ``enough``."""
    place = min(range(len(lattice)), key=lambda other: abs(math.log(lattice[other] / start)))
    while True:
        within = [other for other in range(place - REACH, place + REACH + 1) if 0 <= other < len(lattice)]
        for other in sorted(within, key=lambda other: abs(other - place)):
            if value(lattice[other]) <= enough:
                return other
        lowest = min(within, key=lambda other: value(lattice[other]))
        if value(lattice[lowest]) == value(lattice[place]):
            return place
        place = lowest


def _refine(value: Callable[[float], float], lattice: Sequence[float], lowest: int) -> None:
    """Evaluate the values between the lowest of the lattice and its two neighbours."""
    for neighbour in (lowest - 1, lowest + 1):
        if 0 <= neighbour < len(lattice):
            for part in range(1, PARTS):
                value(lattice[lowest] * (lattice[neighbour] / lattice[lowest]) ** (part / PARTS))
