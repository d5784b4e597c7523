"""Uniform: every weight counts the same, so that all matrices get about the same bits."""

import numpy as np

from smdl.allocation.score import Evidence, Score


class Uniform(Score):
    """Elements times 4^-bits: the squared error of a uniform quantizer, were all weights alike."""

    source = "a quantizer's error at high resolution (Bennett 1948)"

    def damages(self, evidence: Evidence) -> np.ndarray:
        return evidence.bench.elements[:, None] * 4.0 ** -np.array(evidence.bench.bits)
