"""Non-uniform quantization: every tensor gets a codebook of k values, fitted to its weights by k-means.

In one dimension the cells of a codebook are intervals, so with the weights sorted once and their running sums at hand
an iteration of Lloyd's algorithm costs k binary searches (Lloyd, IEEE Trans. Inf. Theory 28, 1982).
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from smdl.compression.scheme import NUMBERS_OF_VALUES, Axis, Compressed, Scheme, Touched
from smdl.compression.size import SCALE_BITS, Size, code_bits
from smdl.compression.weights import Weights
from smdl.foundation.lazy import Tensor, torch
from smdl.models.shape import Shape
from smdl.settings.base import Integer


class KMeans(Scheme):
    """A codebook per tensor, fitted by k-means; level k, its entries."""

    iterations: Integer = Field(50, ge=0, le=10**6, description="Most steps of Lloyd's algorithm.")
    parameters: Touched = "linear"

    axis = Axis(level="codebook entries", unit="bits", logarithmic=True, finer=+1, whole=True)
    levels = NUMBERS_OF_VALUES
    version = 1

    def held(self, shape: Shape, context: int) -> float:
        # Sorted weights and their sums in float64, each twice while they are made, places, and nearest entries.
        return 10 * 8 * shape.largest

    def compress(self, weights: Weights, level: float, seed: int, tuned: float | None) -> Iterator[Compressed]:
        k = int(level)
        for view in weights.select(self.parameters):
            # Sorted again at every level: kept, the sorted weights and their sums would take four models' memory.
            codebook = fit(*sorted_sums(weights[view]), k, self.iterations)
            size = Size(view.elements, code_bits(k), k * SCALE_BITS)
            yield Compressed(view, nearest(weights[view], codebook), size)


def sorted_sums(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """The elements in ascending order, and their running sums from 0 on; float64."""
    ordered = tensor.flatten().double().sort().values
    return ordered, torch.cat([ordered.new_zeros(1), ordered.cumsum(0)])


def fit(ordered: Tensor, sums: Tensor, k: int, iterations: int) -> Tensor:
    """A codebook of ``k`` ascending values at which Lloyd's algorithm stands still, or after ``iterations``.

    It starts from whichever has the smaller error: the uniform grid over the weights' range, or their quantiles. So it
    is never worse than the uniform grid. The optimum is local.
    """
    count = len(ordered)
    largest = ordered.abs().max()
    quantiles = ordered[((torch.arange(k, device=ordered.device) + 0.5) * (count / k)).long().clamp(max=count - 1)]
    uniform = torch.linspace(-1, 1, k, dtype=ordered.dtype, device=ordered.device) * largest
    codebook = min((uniform, quantiles), key=lambda start: error(ordered, start))
    for _ in range(iterations):
        moved = centroids(ordered, sums, codebook)
        if torch.equal(moved, codebook):
            break
        codebook = moved
    return codebook


def centroids(ordered: Tensor, sums: Tensor, codebook: Tensor) -> Tensor:
    """The mean of the elements nearest to each entry; an entry with none stays."""
    inner = torch.searchsorted(ordered, (codebook[1:] + codebook[:-1]) / 2)
    ends = torch.cat([inner.new_zeros(1), inner, inner.new_full((1,), len(ordered))])
    counts = ends.diff()
    return torch.where(counts > 0, sums[ends].diff() / counts.clamp(min=1), codebook)


def nearest(tensor: Tensor, codebook: Tensor) -> Tensor:
    """Each element replaced by the nearest entry of an ascending ``codebook``."""
    index = torch.searchsorted((codebook[1:] + codebook[:-1]) / 2, tensor.to(codebook.dtype).contiguous())
    return codebook[index].to(tensor.dtype)


def error(tensor: Tensor, codebook: Tensor) -> float:
    """Sum of squared distances from the nearest entries."""
    return float((nearest(tensor, codebook) - tensor).square().sum())
