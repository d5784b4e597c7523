"""What compression costs: the rise of the loss on the evaluation blocks, paired block by block."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import t as student

from smdl.compression.scheme import Compressed
from smdl.compression.weights import Weights
from smdl.models.loading import block_losses


@dataclass(frozen=True)
class Decision:
    """When an evaluation may stop: once the confidence interval of delta loss leaves out the tolerance ``epsilon``.

    ``error_rate`` bounds the probability that the side so decided is wrong, all looks of one evaluation together.
    """

    epsilon: float
    error_rate: float


@dataclass(frozen=True)
class DeltaLoss:
    """The rise of the loss (nats) on the blocks evaluated so far, and the size of the model in bits."""

    differences: np.ndarray
    bits: float
    complete: bool

    @property
    def value(self) -> float:
        """Mean over the blocks."""
        return float(self.differences.mean())

    @property
    def se(self) -> float:
        """Standard error of the mean; NaN where a block's loss is not finite."""
        if not np.isfinite(self.differences).all():
            return float("nan")
        return float(self.differences.std(ddof=1) / np.sqrt(len(self.differences)))


class CompressionLoss:
    """Evaluates compressed weights in the place of a model's own, and counts what that takes.

    ``reference`` are the losses of the uncompressed model on ``blocks``, shape (blocks,). ``evaluations`` counts calls,
    ``blocks_seen`` the blocks that they ran.
    """

    def __init__(self, weights: Weights, blocks: np.ndarray, reference: np.ndarray, batch_size: int):
        self.weights = weights
        self.blocks = blocks
        self.reference = reference
        self.batch_size = batch_size
        self.evaluations = 0
        self.blocks_seen = 0

    @torch.no_grad()
    def __call__(
        self, compressed: Iterable[Compressed], decision: Decision | None = None, begun: DeltaLoss | None = None
    ) -> DeltaLoss:
        """Delta loss of the model with ``compressed`` put in; an infinite or undefined loss counts as infinite.

        With a ``decision`` the evaluation stops at the first batch that settles it. ``begun`` is an earlier result of
        the same weights, to be completed.
        """
        bits = float(self.weights.elements * self.weights.dense_bits)
        differences = np.empty(0) if begun is None else begun.differences
        try:
            for item in compressed:
                item.view.put(item.tensor)
                bits += item.size.bits - item.view.elements * self.weights.dense_bits
            self.evaluations += 1
            while len(differences) < len(self.blocks):
                if decision is not None and decided(differences, decision, self._looks):
                    break
                differences = np.append(differences, self._batch(len(differences)))
        finally:
            self.weights.restore()
        return DeltaLoss(differences, bits, len(differences) == len(self.blocks))

    def _batch(self, start: int) -> np.ndarray:
        part = slice(start, start + self.batch_size)
        losses = block_losses(self.weights.model, self.blocks[part], self.batch_size)
        self.blocks_seen += len(losses)
        return np.nan_to_num(losses - self.reference[part], nan=np.inf, posinf=np.inf)

    def settled(self, delta: DeltaLoss, decision: Decision) -> bool:
        """Whether it is decided on which side of the tolerance ``delta`` lies."""
        return delta.complete or decided(delta.differences, decision, self._looks)

    @property
    def _looks(self) -> int:
        """How often an evaluation may stop: after every batch but the last."""
        return max(1, -(-len(self.blocks) // self.batch_size) - 1)


def decided(differences: np.ndarray, decision: Decision, looks: int) -> bool:
    """Whether a one-sided Student interval over the blocks, its level shared out over ``looks``, leaves out epsilon."""
    if len(differences) < 2:
        return False
    if not np.isfinite(differences).all():
        return True
    quantile = student.isf(decision.error_rate / looks, len(differences) - 1)
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    return bool(abs(differences.mean() - decision.epsilon) > quantile * error)
