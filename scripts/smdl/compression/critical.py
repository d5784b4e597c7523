"""Critical levels: where a scheme's delta loss crosses a tolerance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


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
        return Critical(math.nan, math.nan, "all below")
    if above[0]:
        return Critical(math.nan, math.nan, "all above" if all(above) else "not monotone")
    first = above.index(True)
    low, high = delta[first - 1], delta[first]
    status = "ok" if all(above[first:]) else "not monotone"
    if math.isinf(high):
        return Critical(coordinates[first - 1], abs(coordinates[first] - coordinates[first - 1]), status)
    weight = (epsilon - low) / (high - low)
    span = coordinates[first] - coordinates[first - 1]
    error = (1 - weight) * delta_se[first - 1] + weight * delta_se[first]
    return Critical(coordinates[first - 1] + weight * span, error * abs(span) / (high - low), status)
