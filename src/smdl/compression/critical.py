"""Critical levels: where a scheme's delta loss crosses a tolerance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NONE_ABOVE, ALL_ABOVE, NOT_MONOTONE, AT_EDGE, OK = "all below", "all above", "not monotone", "tuned at edge", "ok"
GRAVEST_FIRST = (ALL_ABOVE, NONE_ABOVE, NOT_MONOTONE, AT_EDGE, OK)


@dataclass(frozen=True)
class Critical:
    """A critical level in the axis's coordinate, its standard error, and what to make of it.

    ``status`` is ``ok``; ``not monotone`` (the level is the first rise through the tolerance met from the fine side,
    NaN where the curve only falls through it); ``tuned at edge`` (beside the crossing the tuned parameter is the
    outermost that was considered, so that the level may be a bound); ``all below`` or ``all above`` the tolerance,
    where there is no level (NaN).
    """

    coordinate: float
    coordinate_se: float
    status: str


def critical_level(
    coordinates: Sequence[float],
    delta: Sequence[float],
    delta_se: Sequence[float],
    epsilon: float,
    at_edge: Sequence[bool] | None = None,
) -> Critical:
    """The rise through ``epsilon`` (nats) by linear interpolation between neighbouring points of a curve.

    The points run from the finest level to the coarsest. The standard error is that of delta loss at the crossing over
    the slope of the segment. ``at_edge`` says of each point whether its tuned parameter is the outermost considered.
    """
    above = [value > epsilon for value in delta]
    if not any(above):
        return Critical(math.nan, math.nan, NONE_ABOVE)
    if all(above):
        return Critical(math.nan, math.nan, ALL_ABOVE)
    first = next((i for i in range(1, len(above)) if above[i] and not above[i - 1]), None)
    if first is None:
        return Critical(math.nan, math.nan, NOT_MONOTONE)
    low, high = delta[first - 1], delta[first]
    if any(above[:first]) or not all(above[first:]):
        status = NOT_MONOTONE
    else:
        status = AT_EDGE if at_edge is not None and any(at_edge[first - 1 : first + 1]) else OK
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
    status = next(status for status in GRAVEST_FIRST if any(one.status == status for one in found))
    levels = np.array([one.coordinate for one in found])
    if not np.isfinite(levels).all():
        return Critical(math.nan, math.nan, status)
    spread = levels.var(ddof=1) / len(levels) if len(levels) > 1 else 0.0
    blocks = np.mean([one.coordinate_se**2 for one in found])
    return Critical(float(levels.mean()), float(np.sqrt(blocks + spread)), status)
