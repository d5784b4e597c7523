"""Curves: delta loss of a scheme at every level, its tuned parameter chosen anew at each."""

from collections.abc import Sequence
from dataclasses import dataclass

from scipy.optimize import minimize_scalar

from smdl.compression.loss import CompressionLoss, DeltaLoss
from smdl.compression.scheme import Scheme

TUNING_TOLERANCE = 0.02
TUNING_EVALUATIONS = 12


@dataclass(frozen=True)
class CurvePoint:
    """Delta loss (nats) at a level; ``evaluations`` counts the passes over the blocks that it took."""

    level: float
    seed: int
    delta: DeltaLoss
    tuned: float | None
    evaluations: int


def curve(loss: CompressionLoss, scheme: Scheme, levels: Sequence[float], seeds: Sequence[int]) -> list[CurvePoint]:
    """A point for every level and seed, from the finest level to the coarsest."""
    finest_first = sorted(levels, reverse=scheme.axis.finer > 0)
    return [point(loss, scheme, level, seed) for seed in seeds for level in finest_first]


def point(loss: CompressionLoss, scheme: Scheme, level: float, seed: int) -> CurvePoint:
    """Delta loss at one level, minimised over the tuned parameter where the scheme has one.

    The upper end of the interval is always tried, so the choice is never worse than no choice.
    """
    before = loss.evaluations
    if scheme.tuned is None:
        delta = loss(scheme.compress(loss.weights, level, seed, None))
        return CurvePoint(level, seed, delta, None, loss.evaluations - before)
    tried: dict[float, DeltaLoss] = {}

    def value(tuned: float) -> float:
        tried[tuned] = loss(scheme.compress(loss.weights, level, seed, tuned))
        return tried[tuned].value

    value(scheme.tuned.high)
    minimize_scalar(
        value,
        bounds=(scheme.tuned.low, scheme.tuned.high),
        method="bounded",
        options={"xatol": TUNING_TOLERANCE, "maxiter": TUNING_EVALUATIONS},
    )
    best = min(tried, key=lambda tuned: tried[tuned].value)
    return CurvePoint(level, seed, tried[best], best, loss.evaluations - before)
