"""Critical levels: where a scheme's delta loss crosses a tolerance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NONE_ABOVE, ALL_ABOVE, NOT_MONOTONE, OK = "all below", "all above", "not monotone", "ok"


@dataclass(frozen=True)
class Critical:
    """A critical level in the axis's coordinate, its standard error, and what to make of it.

    ``status`` is ``ok``; ``not monotone`` (the level is the first crossing met from the fine side); ``all below`` or
    ``all above`` the tolerance, where there is no level (NaN).
    """

    level: float
    level_se: float
    status: str


def critical_level(
    coordinates: Sequence[float], delta: Sequence[float], delta_se: Sequence[float], epsilon: float
) -> Critical:
    """The crossing of ``epsilon`` (nats) by linear interpolation between neighbouring points of a curve.

    The points run from the finest level to the coarsest. The standard error is that of delta loss at the crossing over
    the slope of the segment.
    """
    above = [value > epsilon for value in delta]
    if not any(above):
        return Critical(math.nan, math.nan, NONE_ABOVE)
    if above[0]:
        return Critical(math.nan, math.nan, ALL_ABOVE if all(above) else NOT_MONOTONE)
    first = above.index(True)
    low, high = delta[first - 1], delta[first]
    status = OK if all(above[first:]) else NOT_MONOTONE
    if math.isinf(high):
        return Critical(coordinates[first - 1], abs(coordinates[first] - coordinates[first - 1]), status)
    weight = (epsilon - low) / (high - low)
    span = coordinates[first] - coordinates[first - 1]
    error = (1 - weight) * delta_se[first - 1] + weight * delta_se[first]
    return Critical(coordinates[first - 1] + weight * span, error * abs(span) / (high - low), status)


def over_seeds(found: Sequence[Critical]) -> Critical:
    """The mean of the seeds' critical levels; there is none where one of them has none.

    The seeds share their evaluation blocks, so the mean of their squared standard errors is not reduced by averaging;
    to it comes what the spread of the levels says of the mean over seeds.
    """
    status = next(s for s in (ALL_ABOVE, NONE_ABOVE, NOT_MONOTONE, OK) if any(one.status == s for one in found))
    levels = np.array([one.level for one in found])
    if not np.isfinite(levels).all():
        return Critical(math.nan, math.nan, status)
    spread = levels.var(ddof=1) / len(levels) if len(levels) > 1 else 0.0
    blocks = np.mean([one.level_se**2 for one in found])
    return Critical(float(levels.mean()), float(np.sqrt(blocks + spread)), status)
