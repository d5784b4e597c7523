"""llama.cpp's importance matrix: squared changes of the weights, each weighted by the mean square of its input."""

import numpy as np
import torch

from smdl.allocation.score import Evidence, Score


class ImportanceMatrix(Score):
    """Sum of E[x_j^2] (change of W_ij)^2: the change of the outputs, were inputs uncorrelated; x may be one-hot."""

    source = "llama.cpp, imatrix and pull request 15550"

    def damages(self, evidence: Evidence) -> np.ndarray:
        bench, blocks = evidence.bench, evidence.reference.blocks
        from smdl.compression.calibration import input_moments

        moments = input_moments(bench.model, blocks, evidence.settings.batch_size)
        evidence.count(1)
        frequencies = torch.from_numpy(np.bincount(blocks.ravel()) / blocks.size)
        rows = []
        for place, view in enumerate(bench.views):
            # The mean squares of a linear map's inputs stand for its columns, those of an embedding's for its rows.
            weights = torch.zeros(view.shape, dtype=torch.float64)
            for module in bench.uses(place):
                if module in moments:
                    weights += moments[module].diagonal()
                else:
                    weights[: len(frequencies)] += frequencies[:, None]
            changes = (bench.change(place, option).cpu().double() for option in range(len(bench.bits)))
            rows.append([float((weights * change.square()).sum()) for change in changes])
        return np.array(rows)
