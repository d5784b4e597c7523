"""HIGGS: the loss is linear in the relative squared errors of the matrices, with slopes found by Gaussian noise."""

import numpy as np

from smdl.allocation.score import Evidence, Score


class Higgs(Score):
    """alpha t^2: t^2 the relative squared error of quantization, alpha the slope of the loss on that of noise."""

    source = "Malinovskii et al., arXiv:2411.17525, theorem 1 and section 5"

    def damages(self, evidence: Evidence) -> np.ndarray:
        its, bench = evidence.settings, evidence.bench
        squares = np.repeat(np.square(its.noise), its.noise_draws)
        slopes = []
        for place in range(len(bench.names)):
            rises = []
            for scale in its.noise:
                for draw in range(its.noise_draws):
                    with bench.noisy(place, scale, (evidence.seed, place, draw)) as model:
                        rises.append((evidence.reference.compare(model).losses - evidence.reference.losses).mean())
                    evidence.count(1)
            slopes.append(max(0.0, float(squares @ rises / (squares @ squares))))
        return np.array(slopes)[:, None] * evidence.measured("relative_error")
