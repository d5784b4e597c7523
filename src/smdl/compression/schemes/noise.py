"""Gaussian noise on the weights: the scale at which a model breaks shows how precisely its weights matter.

Noise is not a code, but noisy weights have a size: by the bits-back argument (Hinton and van Camp, COLT 1993) weights
w +- sigma under the best Gaussian prior of their tensor cost KL(Q || P) = 1/2 log2(1 + s^2 / sigma^2) bits each on
average, with s^2 the mean square of the tensor's weights about their mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from smdl.compression.scheme import Axis, Compressed, Levels, Scheme, Touched
from smdl.compression.size import SCALE_BITS, Size
from smdl.compression.weights import Weights


class Noise(Scheme):
    """Gaussian noise; level its scale sigma."""

    scale: Literal["relative", "absolute"] = Field(
        "relative", description="sigma in units of each tensor's standard deviation, or absolute."
    )
    parameters: Touched = "all"

    axis = Axis(level="sigma", unit="log2 sigma", logarithmic=True, finer=-1)
    levels = Levels(1e-9, 1e9, "levels are scales, from 1e-9 to 1e9")
    version = 2
    random = True

    def compress(self, weights: Weights, level: float, seed: int, tuned: float | None) -> Iterator[Compressed]:
        from smdl.llc.update import update_for

        for number, view in enumerate(weights.select(self.parameters)):
            original = weights[view]
            # Of a seed and a tensor's place in the model alone: the same for every checkpoint, level and device.
            normals = update_for(original.device).normals(seed, number, 0, 0, original.numel())
            noise = normals.view(original.shape).to(original)
            deviation = float(original.std(correction=0)) if original.numel() > 1 else 0.0
            sigma = level * deviation if self.scale == "relative" else level
            if sigma == 0:
                continue
            bits_each = 0.5 * math.log2(1 + (deviation / sigma) ** 2)
            yield Compressed(view, original + sigma * noise, Size(view.elements, bits_each, 2 * SCALE_BITS))
