"""How often a job of a scheme passes the evaluation blocks forward, for the time that a cluster is asked for."""

from smdl.compression.levels import levels_of
from smdl.compression.settings import Measurement, SchemeSettings

PER_TOLERANCE = 3
"""Passes of a search for each tolerance and seed (docs/findings/search.md)."""
PER_LEVEL = 10
"""So many times as many with a tuned parameter, whose values are tried at every level."""


def passes(own: SchemeSettings, how: Measurement, blocks: int) -> float:
    """Passes over the evaluation ``blocks``, of that number, for all variants together."""
    searched = (own.mode or how.mode) == "search"
    return sum(
        (PER_TOLERANCE * len(how.epsilons) if searched else len(levels_of(own.levels, variant.axis)))
        * (len(own.seeds) if variant.random else 1)
        * ((PER_LEVEL if variant.tuned else 1) + variant.work(blocks))
        for variant in own.variants.values()
    )
