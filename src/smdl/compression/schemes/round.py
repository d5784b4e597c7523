"""Round-to-nearest on a uniform symmetric grid of n_q values for every output channel, or every group of inputs.

The range of a grid is the largest magnitude it has to hold, as in the usual post-training baseline (Nagel et al.,
arXiv:2106.08295); no data and no loss are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from smdl.compression.grid import to_grid
from smdl.compression.scheme import NUMBERS_OF_VALUES, Axis, Compressed, Scheme, Touched
from smdl.compression.size import SCALE_BITS, Size, code_bits
from smdl.compression.weights import Weights
from smdl.foundation.lazy import Tensor, functional, torch
from smdl.settings.base import Integer

Group = Annotated[Integer, Field(ge=0, description="Inputs that share a range; 0 for one range per output channel.")]


class Round(Scheme):
    """Round-to-nearest with a range per output channel or group; level n_q."""

    group: Group = 0
    parameters: Touched = "linear"

    axis = Axis(level="n_q", unit="bits", logarithmic=True, finer=+1, whole=True)
    levels = NUMBERS_OF_VALUES
    version = 1

    def compress(self, weights: Weights, level: float, seed: int, tuned: float | None) -> Iterator[Compressed]:
        for view in weights.select(self.parameters):
            m = ranges(weights[view], self.group)
            tensor = to_grid(weights[view], int(level), spread(m, weights[view].shape[-1], self.group))
            yield Compressed(view, tensor, Size(view.elements, code_bits(level), m.numel() * SCALE_BITS))


def ranges(tensor: Tensor, group: int) -> Tensor:
    """Largest magnitude of each row (``group`` 0) or of each ``group`` neighbours in it; shape (..., groups).

    The last group of a row may be shorter.
    """
    inputs = tensor.shape[-1]
    size = min(group, inputs) or inputs
    padded = functional.pad(tensor.abs(), (0, -inputs % size))
    return padded.unflatten(-1, (-1, size)).amax(-1)


def spread(m: Tensor, inputs: int, group: int) -> Tensor:
    """A value for every element again; shape (..., inputs)."""
    return torch.repeat_interleave(m, min(group, inputs) or inputs, dim=-1)[..., :inputs]
