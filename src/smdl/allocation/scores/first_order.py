"""AutoRound's score of a layer: gradients times changes of the weights, their absolute values summed."""

import numpy as np

from smdl.allocation.score import Evidence, Score
from smdl.models.loading import BlockLoss
from smdl.models.views import part_of


class FirstOrder(Score):
    """Sum of |dL/dW| |change of W| over the weights of a matrix."""

    source = "intel/auto-round, AutoScheme (DeltaLoss)"

    def damages(self, evidence: Evidence) -> np.ndarray:
        from smdl.rulers.second_order.spectrum import gradient_of

        bench = evidence.bench
        loss = BlockLoss(bench.model, evidence.reference.blocks)
        gradient = gradient_of(loss, evidence.settings.batch_size)
        pieces = gradient.split([parameter.numel() for parameter in loss.parameters])
        parts = dict(zip(map(id, loss.parameters), pieces, strict=True))
        evidence.passes += 3
        rows = []
        for place, view in enumerate(bench.views):
            own = part_of(bench.model, view, parts[id(bench.model.get_parameter(view.parameter))])
            rows.append(
                [float((own * bench.change(place, option)).abs().double().sum()) for option in range(len(bench.bits))]
            )
        return np.array(rows)
