"""Curves: delta loss of a scheme at every level, its tuned parameter chosen anew at each."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scipy.optimize import minimize_scalar

from smdl.compression.loss import CompressionLoss, Decision, DeltaLoss
from smdl.compression.scheme import Scheme, Tuned

TUNING_TOLERANCE = 0.05
"""Precision of the tuned parameter, in octaves: near its minimum the loss is flat."""
TUNING_EVALUATIONS = 12
NEIGHBOURHOOD = 0.5
"""How far the optimum of a level is looked for from that of a neighbouring level, in octaves."""
NEIGHBOURHOOD_EVALUATIONS = 5


@dataclass(frozen=True)
class CurvePoint:
    """Delta loss at a level and the tuned value that it is for; ``evaluations`` were made to get it."""

    level: float
    seed: int
    delta: DeltaLoss
    tuned: float | None
    evaluations: int


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

    Without ``start`` the whole interval is searched and its upper end tried, so the choice is never worse than none;
    with it the neighbourhood of ``start``. With a ``decision`` evaluations stop as soon as it is made; and where
    ``start`` itself is below the tolerance so is the minimum, which is then not looked for.
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
        value(scheme.tuned.high)
        _minimise(value, scheme.tuned.low, scheme.tuned.high, TUNING_EVALUATIONS)
    elif value(start) > (decision.epsilon if decision else -math.inf):
        _minimise_near(value, start, scheme.tuned)
    best = min(tried, key=lambda tuned: tried[tuned].value)
    return CurvePoint(level, seed, tried[best], best, loss.evaluations - before)


def _minimise(value: Callable[[float], float], low: float, high: float, evaluations: int) -> float:
    """Brent's bounded minimisation over the logarithm; where the minimum was found."""
    found = minimize_scalar(
        lambda octave: value(2.0**octave),
        bounds=(math.log2(low), math.log2(high)),
        method="bounded",
        options={"xatol": TUNING_TOLERANCE, "maxiter": evaluations},
    )
    return 2.0**found.x


def _minimise_near(value: Callable[[float], float], start: float, tuned: Tuned) -> None:
    """Minimise in a neighbourhood that moves on while the minimum lies in its outer part."""
    while True:
        low, high = max(tuned.low, start / 2**NEIGHBOURHOOD), min(tuned.high, start * 2**NEIGHBOURHOOD)
        found = _minimise(value, low, high, NEIGHBOURHOOD_EVALUATIONS)
        at_low = found < low * 2 ** (NEIGHBOURHOOD / 4) and low > tuned.low
        at_high = found > high / 2 ** (NEIGHBOURHOOD / 4) and high < tuned.high
        if not (at_low or at_high):
            return
        start = found
