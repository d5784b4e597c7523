"""GPTQ: the columns of a matrix are rounded one after another, each error made good by the columns still to come.

Frantar et al., arXiv:2210.17323, algorithm 1, with the Hessian E[x x^T] of a layer's output error over the calibration
blocks. The inputs x are those of the uncompressed model, and the grids those of round-to-nearest: symmetric, up to
the largest magnitude. Embeddings and vectors, whose Hessian is diagonal, are rounded to the nearest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from smdl.compression.grid import to_grid
from smdl.compression.scheme import Axis, Compressed
from smdl.compression.schemes.round import ranges, spread
from smdl.compression.size import SCALE_BITS, Size, code_bits
from smdl.compression.weights import Parameters, Weights, WeightView
from smdl.runtime.lazy import Tensor, torch


@dataclass(frozen=True)
class Gptq:
    """GPTQ with a grid an output channel (``group`` 0) or for every ``group`` inputs of one.

    ``damping`` is added to the Hessian's diagonal, in units of its mean; ``block`` columns are updated at a time.
    """

    group: int
    damping: float
    block: int
    parameters: Parameters

    axis = Axis(level="n_q", unit="bits", logarithmic=True, finer=+1, whole=True)
    tuned = None
    random = False

    def compress(self, weights: Weights, level: float, seed: int, tuned: float | None) -> Iterator[Compressed]:
        for view in weights.select(self.parameters):
            original = weights[view]
            m = ranges(original, self.group)
            grid = spread(m, original.shape[-1], self.group)
            factor = self._factor(weights, view) if view.is_matrix else None
            if factor is None:
                tensor = to_grid(original, int(level), grid)
            else:
                tensor = gptq(original, factor, int(level), grid, self.block)
            yield Compressed(view, tensor, Size(view.elements, code_bits(level), m.numel() * SCALE_BITS))

    def _factor(self, weights: Weights, view: WeightView) -> Tensor | None:
        """Made once a module and kept in main memory, like the moments."""
        moment = weights.inputs(view)
        if moment is None:
            return None
        make = partial(inverse_factor, moment, self.damping)
        return weights.once(("gptq", view.module, self.damping), lambda: make().cpu()).to(view.window.device)


def inverse_factor(moment: Tensor, damping: float) -> Tensor:
    """The upper Cholesky factor of the inverse of the damped Hessian; shape (inputs, inputs), float32."""
    hessian = moment.double()
    hessian = hessian + damping * hessian.diagonal().mean() * torch.eye(len(hessian)).to(hessian)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
    return torch.linalg.cholesky(inverse, upper=True).float()


def gptq(matrix: Tensor, factor: Tensor, n_q: int, grid: Tensor, block: int) -> Tensor:
    """``matrix``, shape (outputs, inputs), on grids of ``n_q`` values up to ``grid``, a tensor of the same shape."""
    left = matrix.float().clone()
    rounded = torch.empty_like(left)
    for start in range(0, left.shape[1], block):
        stop = min(start + block, left.shape[1])
        errors = torch.empty_like(left[:, start:stop])
        for column in range(start, stop):
            rounded[:, column] = to_grid(left[:, column], n_q, grid[:, column])
            error = (left[:, column] - rounded[:, column]) / factor[column, column]
            left[:, column:stop] -= torch.outer(error, factor[column, column:stop])
            errors[:, column - start] = error
        left[:, stop:] -= errors @ factor[start:stop, stop:]
    return rounded.to(matrix.dtype)
