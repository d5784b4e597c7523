"""What a compression scheme is.

A scheme is a pure function of the original weights: at a level and a seed it yields the changed weights one at a time,
each with its size, so that a sweep never holds two models.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from smdl.compression.size import Size
from smdl.compression.weights import Weights, WeightView
from smdl.runtime.lazy import Tensor


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
    whole: bool = False
    """Whether levels are whole numbers."""

    def coordinate(self, level: float) -> float:
        """The level as drawn and interpolated."""
        return math.log2(level) if self.logarithmic else level


@dataclass(frozen=True)
class Compressed:
    """A weight after compression, and the size of its code; what is not yielded stays dense.

    ``factors`` (left, right) is set where the tensor is stored as their product, ``mask`` (True where a value is
    stored) where the rest are zeros: so a second scheme can take what is stored in its turn.
    """

    view: WeightView
    tensor: Tensor
    size: Size
    factors: tuple[Tensor, Tensor] | None = None
    mask: Tensor | None = None


@dataclass(frozen=True)
class Tuned:
    """A positive parameter that is chosen to minimise the loss at every level.

    It is looked for in [low, high], and where it is best at an end of that, beyond: within [least, most]. Its values
    are those of a lattice, ``high`` at place 0 and three places to an octave, downwards.
    """

    name: str
    low: float
    high: float
    least: float
    most: float

    @property
    def inner(self) -> range:
        """The places of the lattice in [low, high]."""
        return range(1 + int(3 * math.log2(self.high / self.low)))

    @property
    def outer(self) -> range:
        """The places of the lattice in [least, most]."""
        return range(-int(3 * math.log2(self.most / self.high)), 1 + int(3 * math.log2(self.high / self.least)))

    def at(self, place: int) -> float:
        """The value at a place of the lattice."""
        return self.high * 2 ** (-place / 3)

    def at_edge(self, value: float) -> bool:
        """Whether ``value`` is the first or the last that is considered at all."""
        return value in (self.at(self.outer[0]), self.at(self.outer[-1]))


class Scheme(Protocol):
    """One compression scheme with one variant's settings: a frozen dataclass whose fields are the config's keys."""

    axis: Axis
    tuned: Tuned | None
    """The parameter that ``compress`` takes as ``tuned`` and the sweep minimises over; None where there is none."""
    random: bool
    """Whether the result depends on the seed; where it does not, one seed is evaluated."""

    def compress(self, weights: Weights, level: float, seed: int, tuned: float | None) -> Iterator[Compressed]:
        """The weights that change at ``level``; those not yielded stay as they are, bit for bit."""
        ...
