"""Training under compression: any scheme at a fixed level, put on the weights while they are trained.

Projection: after every ``every`` steps the weights become their compressed selves and training goes on from there, as
Mosaic-of-Motifs does after every epoch (arXiv:2602.14896). Straight-through: the loss and its gradient are those of
the compressed weights, the update goes to the uncompressed ones (Bengio et al., arXiv:1308.3432): quantization-aware
training.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from torch import nn

from smdl.compression.scheme import Scheme
from smdl.compression.weights import Weights


@dataclass(frozen=True)
class Constraint:
    """A ``scheme`` at a ``level`` and how training meets it; ``every`` (steps) counts for projection only."""

    scheme: Scheme
    level: float
    mode: Literal["projection", "straight-through"]
    every: int

    def project(self, model: nn.Module, step: int) -> None:
        """Replace the weights by their compressed selves; random parts of the scheme are drawn again at every step."""
        self._put(Weights(model), step)

    @contextmanager
    def passed_through(self, model: nn.Module, step: int) -> Iterator[None]:
        """Within, the model has compressed weights; behind, its own again, with the gradients made within."""
        if self.mode != "straight-through":
            yield
            return
        weights = Weights(model)
        self._put(weights, step)
        try:
            yield
        finally:
            weights.restore()

    def due(self, step: int) -> bool:
        """Whether the weights are projected at ``step``."""
        return self.mode == "projection" and step > 0 and step % self.every == 0

    def _put(self, weights: Weights, seed: int) -> None:
        for item in self.scheme.compress(weights, self.level, seed, None):
            item.view.put(item.tensor)
