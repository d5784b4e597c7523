"""What a compression scheme is.

A scheme is a pure function of the original weights: at a level and a seed it yields the changed weights one at a time,
each with its size, so that a sweep never holds two models.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from smdl.compression.size import Size
from smdl.compression.weights import Parameters, Weights
from smdl.foundation.lazy import Tensor
from smdl.models.shape import Shape
from smdl.models.views import WeightView
from smdl.settings.base import Number, Section

# Bytes of a number in a sweep, which is in float32 throughout.
FLOAT = 4


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


@dataclass(frozen=True)
class Levels:
    """The levels that a scheme has: from ``low`` to ``high``; ``meaning`` says what they are, for messages."""

    low: float
    high: float
    meaning: str

    def __contains__(self, level: float) -> bool:
        return self.low <= level <= self.high


NUMBERS_OF_VALUES = Levels(2, 65536, "levels are numbers of values, from 2 to 65536")
FRACTIONS = Levels(0, 1, "levels are fractions, from 0 to 1")


class Scheme(Section):
    """One compression scheme: everything that the rest of the workflow knows of it is declared in its class.

    A scheme is a module of smdl.compression.schemes with one subclass of this class; the module's name is the scheme's
    name in the config, of its rule and in the tables. The fields are the settings of a variant, with their defaults and
    descriptions; the first line of the docstring describes the scheme in the reference.
    """

    axis: ClassVar[Axis]
    levels: ClassVar[Levels]
    version: ClassVar[int]
    """To be raised when the scheme's numbers change: then only its jobs, and what depends on them, run again."""
    tuned: ClassVar[Tuned | None] = None
    """The parameter that ``compress`` takes as ``tuned`` and the search minimises over; None where there is none."""
    random: ClassVar[bool] = False
    """Whether the result depends on the seed; where it does not, one seed is evaluated."""
    needs_data: ClassVar[bool] = False
    """Whether the scheme looks at calibration blocks."""

    def calibrated(self, key: str) -> Iterator[str]:
        """The keys of what looks at calibration blocks: ``key`` of this variant, or keys below it of schemes within."""
        if self.needs_data:
            yield key

    def work(self, blocks: int) -> float:
        """What a level takes beside its evaluation, in passes forward over the evaluation blocks, ``blocks`` many."""
        return 0.0

    def held(self, shape: Shape, context: int) -> float:
        """Bytes of memory, where the model is, that a variant holds beside it at the most; ``context`` in tokens."""
        return 8 * FLOAT * shape.largest

    def kept(self, shape: Shape) -> float:
        """Bytes in main memory that a variant keeps over the levels."""
        return float(FLOAT * shape.moments) if self.needs_data else 0.0

    @abstractmethod
    def compress(self, weights: Weights, level: float, seed: int, tuned: float | None) -> Iterator[Compressed]:
        """The weights that change at ``level``; those not yielded stay as they are, bit for bit."""


Touched = Annotated[
    Parameters,
    Field(description="The linear maps in the layers; these and the embeddings; or biases and norms too."),
]
"""The setting ``parameters`` of the schemes that have it."""

Damping = Annotated[Number, Field(gt=0, description="Added to the diagonal of E[x x^T], in units of its mean.")]
"""The setting ``damping`` of the schemes that invert second moments."""
