"""Unstructured pruning: a fraction of the weights is set to zero, those of least score.

Magnitude pruning scores a weight by |w|. Wanda (Sun et al., arXiv:2306.11695) by |w| times the norm of its input over
the calibration blocks, and compares within an output row. The inputs here are those of the uncompressed model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from smdl.compression.scheme import FLOAT, FRACTIONS, Axis, Compressed, Scheme, Touched
from smdl.compression.size import Size, subset_bits
from smdl.compression.weights import Weights
from smdl.foundation.lazy import Tensor, torch
from smdl.models.shape import Shape
from smdl.models.views import WeightView


class Prune(Scheme):
    """Unstructured pruning; level the fraction of weights set to zero."""

    score: Literal["magnitude", "wanda"] = Field(
        "magnitude", description="By |w|, or by |w| times the norm of its input (arXiv:2306.11695; calibration blocks)."
    )
    scope: Literal["global", "tensor", "row"] = Field(
        "tensor", description="Weights are compared over the model, within a tensor, or (Wanda's own choice) a row."
    )
    parameters: Touched = "linear"

    axis = Axis(level="fraction of weights pruned", unit="fraction", logarithmic=False, finer=-1)
    levels = FRACTIONS
    version = 1

    @property
    def needs_data(self) -> bool:
        return self.score == "wanda"

    def held(self, shape: Shape, context: int) -> float:
        # Scores, their places in order (twice while they are sorted) and what is gone.
        compared = (FLOAT + 8 + 8 + 1) * (shape.weights if self.scope == "global" else 0)
        return super().held(shape, context) + compared

    def compress(self, weights: Weights, level: float, seed: int, tuned: float | None) -> Iterator[Compressed]:
        if level == 0:
            return
        views = weights.select(self.parameters)
        if self.scope == "global":
            scores = torch.cat([self._scores(weights, view).flatten() for view in views])
            pruned = least(scores, level).split([view.elements for view in views])
        for index, view in enumerate(views):
            if self.scope == "row":
                gone = least(self._scores(weights, view), level)
            elif self.scope == "tensor":
                gone = least(self._scores(weights, view).flatten(), level).view(view.shape)
            else:
                gone = pruned[index].view(view.shape)
            yield _compressed(weights, view, gone)

    def _scores(self, weights: Weights, view: WeightView) -> Tensor:
        magnitude = weights[view].abs()
        moment = weights.inputs(view) if self.score == "wanda" else None
        return magnitude if moment is None else magnitude * moment.diagonal().sqrt()


def least(scores: Tensor, fraction: float) -> Tensor:
    """True for the round(fraction n) smallest of the n scores along the last dimension; ties go by position."""
    count = round(fraction * scores.shape[-1])
    order = scores.argsort(dim=-1, stable=True)
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(-1, order[..., :count], True)


def _compressed(weights: Weights, view: WeightView, gone: Tensor) -> Compressed:
    tensor = weights[view].masked_fill(gone, 0)
    kept = view.elements - int(gone.sum())
    size = Size(kept, weights.dense_bits, subset_bits(view.elements, kept))
    return Compressed(view, tensor, size, mask=~gone)
