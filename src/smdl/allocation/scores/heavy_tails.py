"""Heavy tails, without data: matrices with heavier tails of the spectrum are taken to be better trained.

They get more bits, as AlphaQ (arXiv:2606.04980) does it for experts. Its principle is public, and the tail's exponent
is Hill's; how the exponent weighs an error is ours: in inverse proportion.
"""

import numpy as np
import torch

from smdl.allocation.score import Evidence, Score


class HeavyTails(Score):
    """Squared error over Hill's exponent of the tail of the squared singular values, the upper half of them."""

    source = "Yang et al., arXiv:2606.04980 (principle; the weight is ours)"

    def damages(self, evidence: Evidence) -> np.ndarray:
        bench = evidence.bench
        exponents = [exponent(bench.original(place)) for place in range(len(bench.names))]
        return bench.squared_errors() / np.array(exponents)[:, None]


def exponent(matrix: torch.Tensor) -> float:
    """Hill's estimate of alpha in a density x^-alpha of the upper half of a matrix's squared singular values."""
    values = torch.linalg.svdvals(matrix.double()).square().cpu().numpy()
    values = np.sort(values[values > 0])
    tail = len(values) // 2
    if tail < 1:
        return 1.0
    logs = np.log(values[-tail:] / values[-tail - 1]).sum()
    return 1 + tail / max(logs, np.finfo(float).tiny)
