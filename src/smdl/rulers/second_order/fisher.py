"""The trace of the Fisher information of a language model's predictions."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from smdl.models.loading import as_tokens


def fisher_trace(model: nn.Module, blocks: np.ndarray, seed: int) -> np.ndarray:
    """The trace per token, of each token block, shape (blocks,): the mean over ``blocks`` is that of the information.

    The labels are drawn from the model itself, so that it is the information and not the second moment of gradients
    on the text. With the inputs as they are the scores of the positions are uncorrelated, and the squared gradient of
    their sum has the expectation of the sum of their squares: one backward pass per block.
    """
    rng = torch.Generator().manual_seed(seed)
    parameters = list(model.parameters())
    found = []
    for block in blocks:
        tokens = as_tokens(block[None], model)
        logits = model(input_ids=tokens).logits[0, :-1].float()
        drawn = torch.multinomial(logits.detach().softmax(dim=-1).cpu(), 1, generator=rng)[:, 0].to(logits.device)
        total = functional.cross_entropy(logits, drawn, reduction="sum")
        squares = sum(float(part.double().square().sum()) for part in torch.autograd.grad(total, parameters))
        found.append(squares / len(drawn))
    return np.array(found)
