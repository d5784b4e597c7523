"""Uniform symmetric quantization: every weight goes to the nearest of n_q equally spaced values in [-m, m].

As in arXiv:2510.12077: m is chosen to minimise the loss; in the ablation it is max |w|. Here m is ``clip`` times the
largest magnitude, of all quantized weights (scope ``global``) or of each tensor (scope ``tensor``).
"""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from smdl.compression.grid import to_grid
from smdl.compression.scheme import NUMBERS_OF_VALUES, Axis, Compressed, Scheme, Touched, Tuned
from smdl.compression.size import SCALE_BITS, Size, code_bits
from smdl.compression.weights import Weights
from smdl.models.views import WeightView


class Quantize(Scheme):
    """Every weight to the nearest of n_q equally spaced values in [-m, m]."""

    range: Literal["minimised", "maximum"] = Field(
        "minimised", description="m chosen to minimise the loss, or the largest magnitude."
    )
    scope: Literal["global", "tensor"] = Field(
        "global", description="One m for all quantized weights, or one per tensor."
    )
    parameters: Touched = "all"

    axis = Axis(level="n_q", unit="bits", logarithmic=True, finer=+1, whole=True)
    levels = NUMBERS_OF_VALUES
    version = 2

    @property
    def tuned(self) -> Tuned | None:
        return Tuned("clip", low=0.01, high=1.0, least=1e-4, most=2.0) if self.range == "minimised" else None

    def compress(self, weights: Weights, level: float, seed: int, tuned: float | None) -> Iterator[Compressed]:
        for index, (view, m) in enumerate(self.bounds(weights, tuned).items()):
            shared = 1 if self.scope == "tensor" or index == 0 else 0
            size = Size(view.elements, code_bits(level), shared * SCALE_BITS)
            yield Compressed(view, to_grid(weights[view], int(level), m), size)

    def bounds(self, weights: Weights, tuned: float | None) -> dict[WeightView, float]:
        """The m of every view that is quantized, in the order of the model."""
        views = weights.select(self.parameters)
        clip = 1.0 if tuned is None else tuned
        largest = weights.once(
            ("largest", self.parameters), lambda: {view: float(weights[view].abs().max()) for view in views}
        )
        common = max(largest.values())
        return {view: clip * (common if self.scope == "global" else largest[view]) for view in views}
