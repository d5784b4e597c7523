"""Parameter count: every matrix counts the same, whatever its size, so that small ones get more bits."""

import numpy as np

from smdl.allocation.score import Evidence, Score


class ParameterCount(Score):
    """4^-bits of each matrix."""

    source = "the rule of thumb that bits of small matrices are cheap"

    def damages(self, evidence: Evidence) -> np.ndarray:
        return np.ones((len(evidence.bench.names), 1)) * 4.0 ** -np.array(evidence.bench.bits)
