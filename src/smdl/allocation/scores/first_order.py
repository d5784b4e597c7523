"""AutoRound's score of a layer: gradients times changes of the weights, their absolute values summed."""

import numpy as np

from smdl.allocation.score import Evidence, Score, by_matrix
from smdl.models.loading import BlockLoss


class FirstOrder(Score):
    """Sum of |dL/dW| |change of W| over the weights of a matrix."""

    source = "intel/auto-round, AutoScheme (DeltaLoss)"

    def damages(self, evidence: Evidence) -> np.ndarray:
        from smdl.rulers.second_order.spectrum import gradient_of

        bench = evidence.bench
        loss = BlockLoss(bench.model, evidence.reference.blocks)
        gradient = gradient_of(loss, evidence.settings.batch_size)
        evidence.count(3)
        parts = by_matrix(loss, gradient.abs(), bench.names)
        return np.array(
            [
                [float((part * bench.change(place, option).abs()).double().sum()) for option in range(len(bench.bits))]
                for place, part in enumerate(parts)
            ]
        )
