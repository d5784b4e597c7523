"""What a compression scheme is.

A scheme is a pure function of the original weights: at a level and a seed it yields the changed weights one at a time,
each with the bits it takes, so that a sweep never holds two models.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from smdl.compression.weights import Weights, WeightView


@dataclass(frozen=True)
class Axis:
    """A scheme's level axis: what a level is, and the coordinate in which curves are drawn and interpolated."""

    level: str
    """What a level is: ``n_q``, ``fraction of singular values cut``, ..."""
    unit: str
    """The unit of the coordinate: ``bits``, ``fraction``, ``log2 sigma``."""
    logarithmic: bool
    """Whether the coordinate is log2 of the level, or the level itself."""
    finer: int
    """+1 where a larger level changes the model less (n_q), -1 where it changes it more (noise)."""


@dataclass(frozen=True)
class Compressed:
    """A weight after compression and the size of its code in bits; the rest of the model stays dense."""

    view: WeightView
    tensor: Tensor
    bits: float


@dataclass(frozen=True)
class Tuned:
    """A parameter that is chosen to minimise the loss at every level, from the interval (low, high]."""

    name: str
    low: float
    high: float


class Scheme(Protocol):
    """One compression scheme with one variant's settings."""

    axis: Axis
    tuned: Tuned | None
    """The parameter that ``compress`` takes as ``tuned`` and the sweep minimises over; None where there is none."""

    def compress(self, weights: Weights, level: float, seed: int, tuned: float | None) -> Iterator[Compressed]:
        """The weights that change at ``level``; those not yielded stay as they are, bit for bit."""
        ...
