"""What schemes learn from data: second moments of the inputs of every linear map over the calibration blocks."""

import numpy as np
import torch
from torch import Tensor, nn

from smdl.models.loading import as_tokens


@torch.no_grad()
def input_moments(model: nn.Module, blocks: np.ndarray, batch_size: int) -> dict[str, Tensor]:
    """E[x x^T] over all tokens of ``blocks``, for every linear map's inputs x, by the module's name.

    Each has shape (inputs, inputs), float32, in main memory: the moments of all layers can outgrow the model.
    """
    moments: dict[str, Tensor] = {}
    tokens = blocks.size

    def record(name: str):
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0].reshape(-1, inputs[0].shape[-1]).float()
            moment = (x.T @ x / tokens).cpu()
            moments[name] = moments[name] + moment if name in moments else moment

        return hook

    linear = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear) or type(m).__name__ == "Conv1D"]
    handles = [module.register_forward_pre_hook(record(name)) for name, module in linear]
    try:
        for start in range(0, len(blocks), batch_size):
            model(input_ids=as_tokens(blocks[start : start + batch_size], model))
    finally:
        for handle in handles:
            handle.remove()
    return moments
