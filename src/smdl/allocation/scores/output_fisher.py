"""AutoQuantize: squared changes of a matrix's outputs, weighted by the squared gradients of the loss on them."""

import numpy as np
import torch

from smdl.allocation.score import Evidence, Score
from smdl.models.loading import as_tokens, sequence_losses


class OutputFisher(Score):
    """Sum over tokens and outputs of (dL/dy)^2 (change of y)^2: a diagonal Fisher matrix for the Hessian."""

    source = "NVIDIA Model Optimizer, AutoQuantizeGradientSearcher (score of a layer)"

    def damages(self, evidence: Evidence) -> np.ndarray:
        bench, reference = evidence.bench, evidence.reference
        model = bench.model
        modules = dict(model.named_modules())
        served = {view.module: modules[view.module] for view in bench.views}
        seen: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

        def hook(name: str):
            def keep(module, inputs, output):
                output.retain_grad()
                seen[name] = (inputs[0].detach(), output)

            return keep

        total = np.zeros((len(bench.names), len(bench.bits)))
        for start in range(0, len(reference.blocks), reference.batch_size):
            tokens = as_tokens(reference.blocks[start : start + reference.batch_size], model)
            handles = [module.register_forward_hook(hook(name)) for name, module in served.items()]
            try:
                losses = sequence_losses(model, tokens)
            finally:
                for handle in handles:
                    handle.remove()
            # The loss of a token, not of the mean: gradients of different tokens are squared apart.
            (losses.sum() * (tokens.shape[1] - 1)).backward()
            with torch.no_grad():
                for place, view in enumerate(bench.views):
                    inputs, output = seen[view.module]
                    for option in range(len(bench.bits)):
                        with bench.holding({place: option}):
                            change = served[view.module].forward(inputs) - output
                        total[place, option] += float((output.grad * change).double().square().sum())
            model.zero_grad(set_to_none=True)
        evidence.passes += 3 + len(bench.bits)
        return total / reference.blocks.size
