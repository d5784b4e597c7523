"""HAWQ-v2: the mean eigenvalue of a matrix's Hessian times the squared error of its quantization."""

import numpy as np

from smdl.allocation.score import Evidence, Score
from smdl.models.views import iterate, part_of


class HessianTrace(Score):
    """tr(H) / d times the squared error, the trace by Hutchinson's estimate; half of it is the rise of the loss."""

    source = "Dong et al., arXiv:1911.03852, section 3"

    def damages(self, evidence: Evidence) -> np.ndarray:
        from smdl.rulers.second_order.spectrum import hessian_of, signs

        its, bench = evidence.settings, evidence.bench
        loss = evidence.smooth()
        views = {view.name: view for view in iterate(loss.model)}
        names = dict(zip((id(parameter) for parameter in loss.parameters), range(len(loss.parameters)), strict=True))
        sizes = [parameter.numel() for parameter in loss.parameters]
        product, traces = hessian_of(loss, its.batch_size), np.zeros(len(bench.names))
        for probe in range(its.probes):
            vector = signs(sum(sizes), (evidence.seed, probe), loss.parameters[0].device)
            parts = (vector * product(vector)).split(sizes)
            for place, name in enumerate(bench.names):
                own = parts[names[id(loss.model.get_parameter(views[name].parameter))]]
                traces[place] += float(part_of(loss.model, views[name], own).double().sum()) / its.probes
            evidence.passes += 7 * loss.size / len(evidence.reference.blocks)
        return 0.5 * np.maximum(traces / bench.elements, 0.0)[:, None] * bench.squared_errors()
