"""The code length by the ladder: the curvature at which all weights of a matrix would have its bits."""

import numpy as np

from smdl.allocation.ladder import code_length
from smdl.allocation.score import Evidence, Score
from smdl.tables.allocation import LADDER_KIND


class Ladder(Score):
    """Half the effective curvature times the squared error; the curvature is that of R at the tolerance 1/n_beta."""

    source = "docs/concepts/method.md, Bits from restricted LLCs"

    def damages(self, evidence: Evidence) -> np.ndarray:
        bench = evidence.bench
        own = evidence.ladder[evidence.ladder["kind"] == LADDER_KIND]
        evidence.count(own["passes"].sum() / len(evidence.reference.blocks), own["seconds"].sum())
        n_beta, curvatures = 1 / evidence.settings.ladder.tolerance, []
        for place, name in enumerate(bench.names):
            rungs = own[own["tensor"] == name].sort_values("n_beta")
            length = code_length(rungs["n_beta"], rungs["llc"], rungs["llc_se"])
            gamma, elements = rungs["gamma"].iloc[0], int(bench.elements[place])
            curvatures.append(length.effective_curvature(n_beta, gamma, elements))
        return 0.5 * np.array(curvatures)[:, None] * bench.squared_errors()
