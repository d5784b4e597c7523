"""What compression costs: the rise of the loss on the evaluation blocks, paired block by block."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from smdl.compression.scheme import Compressed
from smdl.compression.weights import Weights
from smdl.models import block_losses


@dataclass(frozen=True)
class DeltaLoss:
    """The mean rise of the loss over the blocks (nats) and its standard error; the size of the model in bits."""

    value: float
    se: float
    bits: float


class CompressionLoss:
    """Evaluates compressed weights in the place of a model's own, and counts how often.

    ``reference`` are the losses of the uncompressed model on ``blocks``, shape (blocks,).
    """

    def __init__(self, model: nn.Module, blocks: np.ndarray, reference: np.ndarray, batch_size: int, dense_bits: int):
        self.model = model
        self.weights = Weights(model)
        self.blocks = blocks
        self.reference = reference
        self.batch_size = batch_size
        self.dense_bits = dense_bits
        self.evaluations = 0

    @torch.no_grad()
    def __call__(self, compressed: Iterable[Compressed]) -> DeltaLoss:
        """Delta loss of the model with ``compressed`` put in; an infinite or undefined loss counts as infinite."""
        bits = float(self.weights.elements * self.dense_bits)
        try:
            for item in compressed:
                item.view.parameter.copy_(item.tensor)
                bits += item.bits - item.view.parameter.numel() * self.dense_bits
            losses = block_losses(self.model, self.blocks, self.batch_size)
        finally:
            self.weights.restore()
        self.evaluations += 1
        difference = np.nan_to_num(losses - self.reference, nan=np.inf, posinf=np.inf)
        return DeltaLoss(float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(len(difference))), bits)
