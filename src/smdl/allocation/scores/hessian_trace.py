"""HAWQ-v2: the mean eigenvalue of a matrix's Hessian times the squared error of its quantization."""

import numpy as np

from smdl.allocation.score import Evidence, Score, by_matrix

# A product with the Hessian: two passes forward and two and a half back, in passes forward.
PRODUCT = 7


class HessianTrace(Score):
    """tr(H) / d times the squared error, the trace by Hutchinson's estimate; half of it is the rise of the loss."""

    source = "Dong et al., arXiv:1911.03852, section 3"

    def damages(self, evidence: Evidence) -> np.ndarray:
        from smdl.rulers.second_order.spectrum import hessian_of, signs

        its, bench = evidence.settings, evidence.bench
        loss = evidence.smooth()
        length = sum(parameter.numel() for parameter in loss.parameters)
        product, traces = hessian_of(loss, its.batch_size), np.zeros(len(bench.names))
        for probe in range(its.probes):
            vector = signs(length, (evidence.seed, probe), loss.parameters[0].device)
            own = by_matrix(loss, vector * product(vector), bench.names)
            traces += [float(part.double().sum()) / its.probes for part in own]
            evidence.count(PRODUCT * loss.size / len(evidence.reference.blocks))
        return 0.5 * np.maximum(traces / bench.elements, 0.0)[:, None] * bench.squared_errors()
