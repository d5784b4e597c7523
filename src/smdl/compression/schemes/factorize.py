"""Low rank: W = U S V^T by singular value decomposition, a fraction of the singular values cut.

As in the appendix of arXiv:2510.12077: the first and the last layer are left alone, and of the others every second is
factorized. With ``weighting: activations`` the error is measured on the layer's inputs instead: with E[x x^T] = L L^T
over the calibration blocks, the truncated SVD of W L times L^-1 has the smallest mean |W x - W' x|^2 of its rank
(Wang et al., SVD-LLM, arXiv:2403.07378).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from smdl.compression.scheme import FLOAT, FRACTIONS, Axis, Compressed, Damping, Scheme
from smdl.compression.size import Size
from smdl.compression.weights import Weights
from smdl.foundation.lazy import Tensor, torch
from smdl.models.shape import Shape
from smdl.models.views import WeightView
from smdl.settings.base import Integer


class Factorize(Scheme):
    """Truncated SVD; level the fraction of singular values cut."""

    weighting: Literal["none", "activations"] = Field(
        "none", description="Error of the weights, or of the outputs on calibration blocks (arXiv:2403.07378)."
    )
    skip_ends: Integer = Field(1, ge=0, description="Layers left alone at either end.")
    stride: Integer = Field(2, ge=1, description="Layers from one cut to the next.")
    damping: Damping = 0.01

    axis = Axis(level="fraction of singular values cut", unit="fraction", logarithmic=False, finer=-1)
    levels = FRACTIONS
    version = 2

    @property
    def needs_data(self) -> bool:
        return self.weighting == "activations"

    def kept(self, shape: Shape) -> float:
        # Of full rank: four square matrices, twice their size; two of an MLP, a quarter more than theirs.
        factors = (4 * 2 + 2 * 5) * self.touched(shape) * shape.width**2
        return super().kept(shape) + FLOAT * factors

    def touched(self, shape: Shape) -> int:
        """How many layers are factorized."""
        return len(range(self.skip_ends, shape.layers - self.skip_ends, self.stride))

    def compress(self, weights: Weights, level: float, seed: int, tuned: float | None) -> Iterator[Compressed]:
        chosen = self.layers(weights)
        for view in weights.select("linear"):
            full = min(view.shape)
            rank = full - round(level * full)
            if view.layer in chosen and rank < full:
                left, right = self._factors(weights, view)
                yield _compressed(view, weights, left[:, :rank], right[:rank])

    def layers(self, weights: Weights) -> set[int]:
        """The layers that are factorized."""
        last = max(view.layer for view in weights.select("linear"))
        return set(range(self.skip_ends, last + 1 - self.skip_ends, self.stride))

    def _factors(self, weights: Weights, view: WeightView) -> tuple[Tensor, ...]:
        """Left and right factor at full rank, the singular values shared between them evenly.

        Made once and kept in main memory, since all of them together take twice what they factorize.
        """
        key = ("factors", self.weighting, self.damping, view.name)
        return tuple(factor.to(view.window.device) for factor in weights.once(key, lambda: self._make(weights, view)))

    def _make(self, weights: Weights, view: WeightView) -> tuple[Tensor, ...]:
        if self.weighting == "none":
            made = factors(weights[view])
        else:
            made = weighted_factors(weights[view], weights.inputs(view), self.damping)
        return tuple(factor.cpu() for factor in made)


def factors(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """A and B with A B = ``matrix`` whose first r columns and rows give its best approximation of rank r."""
    left, right = decomposed(matrix.double())
    return left.float(), right.float()


def weighted_factors(matrix: Tensor, moment: Tensor, damping: float) -> tuple[Tensor, Tensor]:
    """The same for the error on inputs x with E[x x^T] = ``moment``, shape (inputs, inputs)."""
    moment = moment.double()
    moment = moment + damping * moment.diagonal().mean() * torch.eye(len(moment), dtype=moment.dtype).to(moment)
    root = torch.linalg.cholesky(moment)
    left, right = decomposed(matrix.double() @ root)
    right = torch.linalg.solve_triangular(root, right, upper=False, left=False)
    return left.float(), right.float()


def decomposed(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The factors U sqrt(S) and sqrt(S) V^T of U S V^T = ``matrix``, which is float64.

    From the eigenvectors of the smaller of M M^T and M^T M, which takes a fraction of a singular value decomposition's
    time. Singular values below 1e-8 of the largest are those of rounding; they stay the last ones.
    """
    wide = matrix.shape[0] <= matrix.shape[1]
    narrow = matrix if wide else matrix.T
    vectors = torch.linalg.eigh(narrow @ narrow.T).eigenvectors.flip(1)
    rows = vectors.T @ narrow
    shared = torch.linalg.vector_norm(rows, dim=1).sqrt()
    first, second = vectors * shared, rows / shared.clamp(min=torch.finfo(rows.dtype).tiny)[:, None]
    return (first, second) if wide else (second.T, first.T)


def _compressed(view: WeightView, weights: Weights, left: Tensor, right: Tensor) -> Compressed:
    tensor = (left @ right).to(weights[view].dtype)
    stored = left.numel() + right.numel()
    if stored < view.elements:
        return Compressed(view, tensor, Size(stored, weights.dense_bits), factors=(left, right))
    return Compressed(view, tensor, Size(view.elements, weights.dense_bits))
