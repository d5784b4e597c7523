"""What a score is: what a method, a rule of thumb or a measurement says that a matrix costs at a number of bits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from smdl.allocation.settings import Allocation
from smdl.foundation.lazy import Tensor
from smdl.models.views import iterate, part_of

if TYPE_CHECKING:
    from smdl.allocation.bench import Bench
    from smdl.allocation.divergence import Reference
    from smdl.models.loading import BlockLoss


@dataclass
class Evidence:
    """All that scores may look at: the model with its matrices, calibration blocks, and what was measured before.

    ``errors`` are the rows of the table ``tensor_errors`` of the quantizer, ``ladder`` those of the table ``ladder``.
    ``smooth`` loads the loss on calibration blocks with second derivatives. A score counts the ``passes`` over the
    calibration blocks that it takes, in forward passes; one back counts as two.
    """

    bench: Bench
    reference: Reference
    errors: pd.DataFrame
    ladder: pd.DataFrame
    smooth: Callable[[], BlockLoss]
    settings: Allocation
    seed: int
    passes: float = 0.0
    seconds: float = 0.0

    def count(self, passes: float, seconds: float = 0.0) -> None:
        """Add what a score takes: forward passes, and the seconds that others took for it before."""
        self.passes += passes
        self.seconds += seconds

    def measured(self, column: str) -> np.ndarray:
        """A column of ``errors``, shape (matrices, options)."""
        table = self.errors.pivot(index="tensor", columns="bits", values=column)
        return table.loc[self.bench.names, list(self.bench.bits)].to_numpy()


def by_matrix(loss: BlockLoss, vector: Tensor, names: Sequence[str]) -> list[Tensor]:
    """What a flat ``vector``, of the length of all the loss's parameters, has at the matrices of these names."""
    pieces = vector.split([parameter.numel() for parameter in loss.parameters])
    of = dict(zip(map(id, loss.parameters), pieces, strict=True))
    views = {view.name: view for view in iterate(loss.model)}
    own = (views[name] for name in names)
    return [part_of(loss.model, view, of[id(loss.model.get_parameter(view.parameter))]) for view in own]


class Score(ABC):
    """A score is a module of smdl.allocation.scores with one subclass of this class; the module's name is its name."""

    source: ClassVar[str]
    """Where its formula stands."""

    @abstractmethod
    def damages(self, evidence: Evidence) -> np.ndarray:
        """What every matrix costs at every number of bits, shape (matrices, options): the solver sums and compares."""
