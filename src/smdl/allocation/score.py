"""What a score is: what a method, a rule of thumb or a measurement says that a matrix costs at a number of bits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from smdl.allocation.settings import Allocation

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

    def measured(self, column: str) -> np.ndarray:
        """A column of ``errors``, shape (matrices, options)."""
        table = self.errors.pivot(index="tensor", columns="bits", values=column)
        return table.loc[self.bench.names, list(self.bench.bits)].to_numpy()


class Score(ABC):
    """A score is a module of smdl.allocation.scores with one subclass of this class; the module's name is its name."""

    source: ClassVar[str]
    """Where its formula stands."""

    @abstractmethod
    def damages(self, evidence: Evidence) -> np.ndarray:
        """What every matrix costs at every number of bits, shape (matrices, options): the solver sums and compares."""
