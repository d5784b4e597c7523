"""The restricted LLC at the published setting: what the localisation's noise costs, scaled to the error."""

import numpy as np

from smdl.allocation.score import Evidence, Score
from smdl.tables.allocation import PUBLISHED


class RestrictedLlc(Score):
    """lambda / n_beta, the excess loss of noise of variance 1/gamma, times the error over d / gamma."""

    source = "HIGGS's coefficient as a limit of the LLC: docs/concepts/method.md, Bits from restricted LLCs"

    def damages(self, evidence: Evidence) -> np.ndarray:
        own = evidence.ladder[evidence.ladder["kind"] == PUBLISHED].set_index("tensor").loc[evidence.bench.names]
        evidence.count(own["passes"].sum() / len(evidence.reference.blocks), own["seconds"].sum())
        excess = np.maximum(own["llc"] / own["n_beta"], 0.0) * own["gamma"] / evidence.bench.elements
        return excess.to_numpy()[:, None] * evidence.bench.squared_errors()
