"""The divergence of the predictions, measured with one matrix quantized at a time."""

import numpy as np

from smdl.allocation.score import Evidence, Score


class MeasuredKl(Score):
    """Mean KL divergence of the next token on the calibration blocks."""

    source = "the table tensor_errors"

    def damages(self, evidence: Evidence) -> np.ndarray:
        evidence.count(len(evidence.errors), evidence.errors["seconds"].sum())
        return evidence.measured("kl")
