"""Curves: delta loss of a scheme at every level, its tuned parameter chosen anew at each."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from smdl.compression.loss import CompressionLoss, Decision, DeltaLoss
from smdl.compression.scheme import Scheme, Tuned

TUNING_TOLERANCE = 0.05
"""Precision of the tuned parameter, in octaves: near its minimum the loss is flat."""
TUNING_EVALUATIONS = 12
STRIDE = 0.3
"""Distance in octaves of the three values from which a minimum near a known one is found."""


@dataclass(frozen=True)
class CurvePoint:
    """Delta loss at a level and the tuned value that it is for; ``evaluations`` were made to get it.

    ``minimal`` says whether that value is the best one, or only good enough to put the level below a tolerance.
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

    Without ``start`` the whole interval is searched and its upper end tried, so the choice is never worse than none;
    with it the minimum is walked to from there. With a ``decision`` evaluations stop as soon as it is made; and where
    ``start`` itself is below the tolerance so is the minimum, which is then not looked for.
    """
    before = loss.evaluations
    tried: dict[float | None, DeltaLoss] = {}
    minimal = True

    def value(tuned: float | None) -> float:
        if tuned not in tried:
            tried[tuned] = loss(scheme.compress(loss.weights, level, seed, tuned), decision)
        return tried[tuned].value

    if scheme.tuned is None:
        value(None)
    elif start is None:
        _minimise(value, scheme.tuned)
    elif decision is not None and value(start) <= decision.epsilon:
        minimal = False
    else:
        _walk(value, start, scheme.tuned)
    best = min(tried, key=lambda tuned: tried[tuned].value)
    return CurvePoint(level, seed, tried[best], best, loss.evaluations - before, minimal)


def _minimise(value: Callable[[float], float], tuned: Tuned) -> None:
    """Brent's bounded minimisation over the logarithm of the tuned value."""
    value(tuned.high)
    minimize_scalar(
        lambda octave: value(2.0**octave),
        bounds=(math.log2(tuned.low), math.log2(tuned.high)),
        method="bounded",
        options={"xatol": TUNING_TOLERANCE, "maxiter": TUNING_EVALUATIONS},
    )


def _walk(value: Callable[[float], float], start: float, tuned: Tuned) -> None:
    """Walk down by strides until both neighbours are higher, then try the vertex of the parabola through the three."""
    while True:
        left, right = max(tuned.low, start / 2**STRIDE), min(tuned.high, start * 2**STRIDE)
        lowest = min((start, left, right), key=value)
        if lowest == start:
            break
        start = lowest
    x, y = np.log2([left, start, right]), np.array([value(left), value(start), value(right)])
    if np.isfinite(y).all() and left < start < right and (y[0] > y[1] or y[2] > y[1]):
        curvature, slope, _ = np.polyfit(x - x[1], y, 2)
        value(float(2 ** np.clip(x[1] - slope / (2 * curvature), x[0], x[2])))
