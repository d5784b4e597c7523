"""GPTQ: the columns of a matrix are rounded one after another, each error made good by the columns still to come.

Frantar et al., arXiv:2210.17323, algorithm 1, with the Hessian E[x x^T] of a layer's output error over the calibration
blocks. The inputs x are those of the uncompressed model, and the grids those of round-to-nearest: symmetric, up to
the largest magnitude. Embeddings and vectors, whose Hessian is diagonal, are rounded to the nearest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import groupby

from pydantic import Field

from smdl.compression.grid import to_grid
from smdl.compression.scheme import FLOAT, NUMBERS_OF_VALUES, Axis, Compressed, Damping, Scheme, Touched
from smdl.compression.schemes.round import Group, ranges, spread
from smdl.compression.size import SCALE_BITS, Size, code_bits
from smdl.compression.weights import Weights
from smdl.foundation.lazy import Tensor, torch
from smdl.models.shape import Shape
from smdl.models.views import WeightView
from smdl.settings.base import Integer


class Gptq(Scheme):
    """GPTQ (arXiv:2210.17323); level n_q. Needs calibration blocks."""

    group: Group = 0
    damping: Damping = 0.01
    block: Integer = Field(128, ge=1, description="Columns per block update.")
    parameters: Touched = "linear"

    axis = Axis(level="n_q", unit="bits", logarithmic=True, finer=+1, whole=True)
    levels = NUMBERS_OF_VALUES
    version = 2
    needs_data = True

    def held(self, shape: Shape, context: int) -> float:
        # The largest moment in float64: damped, factorized, inverted, and the inverse factorized.
        return max(super().held(shape, context), 5 * 8 * (4 * shape.width) ** 2)

    def kept(self, shape: Shape) -> float:
        return super().kept(shape) + FLOAT * shape.moments

    def compress(self, weights: Weights, level: float, seed: int, tuned: float | None) -> Iterator[Compressed]:
        for views in _together(weights.select(self.parameters)):
            originals = [weights[view] for view in views]
            ends = [ranges(original, self.group) for original in originals]
            original, m = (torch.cat(parts) for parts in (originals, ends))
            grid = spread(m, original.shape[-1], self.group)
            factor = self._factor(weights, views[0]) if views[0].is_matrix else None
            if factor is None:
                tensor = to_grid(original, int(level), grid)
            else:
                tensor = gptq(original, factor, int(level), grid, self.block)
            for view, own, part in zip(views, ends, tensor.split([len(each) for each in originals]), strict=True):
                yield Compressed(view, part, Size(view.elements, code_bits(level), own.numel() * SCALE_BITS))

    def _factor(self, weights: Weights, view: WeightView) -> Tensor | None:
        """Made once per module and kept in main memory, like the moments."""
        moment = weights.inputs(view)
        if moment is None:
            return None
        make = partial(inverse_factor, moment, self.damping)
        return weights.once(("gptq", view.module, self.damping), lambda: make().cpu()).to(view.window.device)


def _together(views: Iterable[WeightView]) -> Iterator[list[WeightView]]:
    """The matrices of one module together, whose inputs are the same: query, key and value; all else alone."""
    for _, group in groupby(views, lambda view: view.module if view.is_matrix else view):
        yield list(group)


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
