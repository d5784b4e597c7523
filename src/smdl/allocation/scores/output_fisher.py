"""AutoQuantize: squared changes of a matrix's outputs, weighted by the squared gradients of the loss on them."""

from collections.abc import Iterator
from itertools import chain, product

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
        uses = [bench.uses(place) for place in range(len(bench.views))]
        served = {name: model.get_submodule(name) for name in chain.from_iterable(uses)}
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
                for place, option, name in _each(uses, len(bench.bits)):
                    inputs, output = seen[name]
                    with bench.holding({place: option}):
                        change = served[name].forward(inputs) - output
                    total[place, option] += float((output.grad * change).double().square().sum())
            model.zero_grad(set_to_none=True)
        evidence.count(3 + len(bench.bits))
        return total / reference.blocks.size


def _each(uses: list[list[str]], options: int) -> Iterator[tuple[int, int, str]]:
    """Every matrix at every option in every module that uses it."""
    for place, names in enumerate(uses):
        for option, name in product(range(options), names):
            yield place, option, name
