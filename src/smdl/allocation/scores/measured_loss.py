"""The loss itself, measured with one matrix quantized at a time."""

import numpy as np

from smdl.allocation.score import Evidence, Score


class MeasuredLoss(Score):
    """Rise of the loss on the calibration blocks; what is measured below zero stays so."""

    source = "the table tensor_errors"

    def damages(self, evidence: Evidence) -> np.ndarray:
        evidence.count(len(evidence.errors), evidence.errors["seconds"].sum())
        return evidence.measured("delta_loss")
