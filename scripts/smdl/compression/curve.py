"""Curves: delta loss of a scheme at every level, its tuned parameter chosen anew at each."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from smdl.compression.loss import CompressionLoss, Decision, DeltaLoss
from smdl.compression.scheme import Scheme

REACH = 2
"""How many values of the tuned parameter's lattice must be higher on either side of a minimum that is walked to."""


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

    Delta loss is jagged in that parameter, with many local minima. So it is minimised over a fixed lattice of values,
    then over the parabola through the lowest and its neighbours: where two searches end at the same value of the
    lattice, they end at the same number. Without ``start`` the whole lattice is tried; with it the minimum is walked to
    from there. With a ``decision`` evaluations stop as soon as it is made; and the walk stops at the first value below
    the tolerance, which the minimum is then below too.
    """
    before = loss.evaluations
    tried: dict[float | None, DeltaLoss] = {}

    def value(tuned: float | None) -> float:
        if tuned not in tried:
            tried[tuned] = loss(scheme.compress(loss.weights, level, seed, tuned), decision)
        return tried[tuned].value

    if scheme.tuned is None:
        value(None)
    elif start is None:
        lattice = scheme.tuned.lattice
        _try_vertex(value, lattice, min(range(len(lattice)), key=lambda place: value(lattice[place])))
    else:
        _walk(value, scheme.tuned.lattice, start, decision.epsilon if decision else -math.inf)
    best = min(tried, key=lambda tuned: tried[tuned].value)
    return CurvePoint(level, seed, tried[best], best, loss.evaluations - before, scheme.tuned is None or not decision)


def _walk(value: Callable[[float], float], lattice: Sequence[float], start: float, enough: float) -> None:
    """Walk down the lattice until no value within reach is lower, or is below ``enough``; then try the vertex."""
    place = min(range(len(lattice)), key=lambda other: abs(math.log(lattice[other] / start)))
    while True:
        within = [other for other in range(place - REACH, place + REACH + 1) if 0 <= other < len(lattice)]
        for other in sorted(within, key=lambda other: abs(other - place)):
            if value(lattice[other]) <= enough:
                return
        lowest = min(within, key=lambda other: value(lattice[other]))
        if value(lattice[lowest]) == value(lattice[place]):
            break
        place = lowest
    _try_vertex(value, lattice, place)


def _try_vertex(value: Callable[[float], float], lattice: Sequence[float], lowest: int) -> None:
    """Evaluate the vertex of the parabola, in octaves, through the lowest value of the lattice and its neighbours."""
    around = lattice[max(0, lowest - 1) : lowest + 2]
    losses = np.array([value(tuned) for tuned in around])
    if len(around) < 3 or not np.isfinite(losses).all() or not losses.max() > losses[1]:
        return
    octaves = np.log2(around) - np.log2(around[1])
    curvature, slope, _ = np.polyfit(octaves, losses, 2)
    value(float(around[1] * 2 ** np.clip(-slope / (2 * curvature), octaves[0], octaves[-1])))
