"""Mosaic of motifs (Bakhtiarifard et al., arXiv:2602.14896), applied after training.

Every tensor is flattened and zero-padded to blocks of s weights; the blocks of all tensors are pooled; the dictionary
has k = capacity * (number of blocks) motifs, the zero block first. As published the others are blocks drawn at random;
with ``choice: kmeans`` they are improved by Lloyd's algorithm. Each block becomes its nearest motif (L2).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from smdl.compression.scheme import FLOAT, Axis, Compressed, Levels, Scheme, Touched
from smdl.compression.size import SCALE_BITS, Size, code_bits
from smdl.compression.weights import Weights
from smdl.foundation.lazy import Tensor, functional, torch
from smdl.models.shape import Shape
from smdl.settings.base import Integer

DISTANCES = 1 << 24
"""Most distances held at a time (64 MB in float32)."""
TREE_DIMENSIONS = 8
"""Up to here a k-d tree finds exact neighbours faster than all distances do; beyond, it looks at nearly all points."""


class Motifs(Scheme):
    """Mosaic of motifs (arXiv:2602.14896); level the capacity, motifs over blocks."""

    block: Integer = Field(4, ge=1, description="Weights per block.")
    choice: Literal["random", "kmeans"] = Field(
        "random", description="Motifs are blocks drawn at random, or these improved by k-means."
    )
    iterations: Integer = Field(10, ge=0, le=10**6, description="Steps of Lloyd's algorithm.")
    parameters: Touched = "all"

    axis = Axis(level="capacity", unit="log2 capacity", logarithmic=True, finer=+1)
    levels = Levels(1e-9, 1, "levels are capacities above 0, at most 1")
    version = 1
    random = True

    def held(self, shape: Shape, context: int) -> float:
        # Blocks, their mosaic, and for each block its place in a random order and its motif's.
        return super().held(shape, context) + (2 * FLOAT + 2 * 8 / self.block) * shape.weights

    def compress(self, weights: Weights, level: float, seed: int, tuned: float | None) -> Iterator[Compressed]:
        views = weights.select(self.parameters)
        blocks = torch.cat([to_blocks(weights[view], self.block) for view in views])
        motifs = draw(blocks, max(1, round(level * len(blocks))), seed)
        if self.choice == "kmeans":
            motifs = lloyd(blocks, motifs, self.iterations)
        mosaic = motifs[assign(blocks, motifs)]
        dictionary = (len(motifs) - 1) * self.block * SCALE_BITS
        start = 0
        for index, view in enumerate(views):
            count = -(-view.elements // self.block)
            tensor = mosaic[start : start + count].flatten()[: view.elements].reshape(view.shape)
            start += count
            size = Size(count, code_bits(len(motifs)), dictionary if index == 0 else 0)
            yield Compressed(view, tensor.to(weights[view].dtype), size)


def to_blocks(tensor: Tensor, size: int) -> Tensor:
    """The elements of ``tensor`` in rows of ``size``, the last one padded with zeros; shape (blocks, size), float32."""
    flat = tensor.flatten().float()
    return functional.pad(flat, (0, -len(flat) % size)).view(-1, size)


def draw(blocks: Tensor, k: int, seed: int) -> Tensor:
    """The zero block and k - 1 of ``blocks``, drawn without replacement; a smaller k draws a part of a larger one's."""
    order = torch.randperm(len(blocks), generator=torch.Generator().manual_seed(seed))
    return torch.cat([blocks.new_zeros(1, blocks.shape[1]), blocks[order[: k - 1].to(blocks.device)]])


def lloyd(blocks: Tensor, motifs: Tensor, iterations: int) -> Tensor:
    """Each motif moved to the mean of its blocks, ``iterations`` times; the zero block and unused motifs stay."""
    for _ in range(iterations):
        index = assign(blocks, motifs)
        counts = torch.bincount(index, minlength=len(motifs))
        means = torch.zeros_like(motifs).index_add_(0, index, blocks) / counts.clamp(min=1)[:, None]
        used = counts > 0
        used[0] = False
        motifs = torch.where(used[:, None], means, motifs)
    return motifs


def assign(blocks: Tensor, motifs: Tensor) -> Tensor:
    """The index of each block's nearest motif; shape (blocks,). Memory is bounded whatever the numbers of both."""
    if blocks.device.type == "cpu" and blocks.shape[1] <= TREE_DIMENSIONS:
        from scipy.spatial import cKDTree

        return torch.from_numpy(cKDTree(motifs.numpy()).query(blocks.numpy())[1])
    lengths = motifs.square().sum(1)
    rows = max(1, DISTANCES // len(motifs))
    return torch.cat([(lengths - 2 * part @ motifs.T).argmin(1) for part in blocks.split(rows)])
