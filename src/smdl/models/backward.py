"""Backward passes that never hold all gradients longer than they must: each is handed on as soon as it is whole."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from smdl.models.shape import held_elsewhere

Pass = Callable[[np.ndarray], None]


@contextmanager
def backward(
    losses: Callable[[np.ndarray], Tensor],
    parameters: Sequence[Tensor],
    use: Callable[[int, Tensor], None],
    at_once: int | None = None,
) -> Iterator[Pass]:
    """A function of a minibatch that hands the gradient of its mean loss to ``use``, with the parameter's number.

    ``losses`` gives those of the sequences with the given indices, shape (sequences,). A parameter's gradient is
    dropped after its use, within the backward pass: of gradients no more than the largest is held. With ``at_once``
    below the minibatch it is passed in parts, and all gradients are held until the last.
    """
    last = False

    def hook(number: int) -> Callable[[Tensor], None]:
        def whole(parameter: Tensor) -> None:
            if last:
                with torch.no_grad():
                    use(number, parameter.grad)
                parameter.grad = None

        return whole

    def run(batch: np.ndarray) -> None:
        nonlocal last
        size = at_once or len(batch)
        for start in range(0, len(batch), size):
            last = start + size >= len(batch)
            with torch.enable_grad():
                mean = losses(batch[start : start + size]).sum() / len(batch)
            mean.backward()

    handles = [
        parameter.register_post_accumulate_grad_hook(hook(number)) for number, parameter in enumerate(parameters)
    ]
    try:
        yield run
    finally:
        for handle in handles:
            handle.remove()


def place_of(elements: int, vectors: int, device: torch.device) -> torch.device:
    """Where ``vectors`` of ``elements`` float32 numbers lie beside a model on ``device``: there, or in main memory."""
    return torch.device("cpu") if held_elsewhere(elements, vectors) else device
