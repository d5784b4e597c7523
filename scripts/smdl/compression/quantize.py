"""Uniform symmetric quantization: every weight goes to the nearest of n_q equally spaced values in [-m, m].

As in arXiv:2510.12077: m is chosen to minimise the loss; in the ablation it is max |w|. Here m is ``clip`` times the
largest magnitude, of all quantized weights (scope ``global``) or of each tensor (scope ``tensor``).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from smdl.compression.scheme import Axis, Compressed, Tuned
from smdl.compression.weights import Weights

SCALE_BITS = 32


@dataclass(frozen=True)
class Quantize:
    """Quantization to a uniform symmetric grid."""

    range: Literal["minimised", "maximum"]
    scope: Literal["global", "tensor"]
    parameters: Literal["all", "matrices"]

    axis = Axis(level="n_q", unit="bits", logarithmic=True, finer=+1)

    @property
    def tuned(self) -> Tuned | None:
        return Tuned("clip", 0.0, 1.0) if self.range == "minimised" else None

    def compress(self, weights: Weights, level: float, seed: int, tuned: float | None) -> Iterator[Compressed]:
        views = [view for view in weights.views if self.parameters == "all" or view.is_matrix]
        clip = 1.0 if tuned is None else tuned
        largest = {view: float(weights[view].abs().max()) for view in views}
        common = max(largest.values())
        for view in views:
            m = clip * (common if self.scope == "global" else largest[view])
            bits = weights[view].numel() * math.log2(level) + SCALE_BITS
            yield Compressed(view, to_grid(weights[view], int(level), m), bits)


def to_grid(tensor: Tensor, n_q: int, m: float) -> Tensor:
    """Each element moved to the nearest of ``n_q`` equally spaced values in [-m, m], those beyond clipped to the ends.

    The error of an element within [-m, m] is at most m / (n_q - 1). A tensor of zeros (m = 0) stays.
    """
    if m == 0:
        return tensor.clone()
    spacing = 2 * m / (n_q - 1)
    codes = torch.round((tensor.clamp(-m, m) + m) / spacing)
    return (codes * spacing - m).to(tensor.dtype)
