"""A model whose matrices can be given any of some numbers of bits, one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from smdl.allocation.settings import Allocation
from smdl.compression import registry
from smdl.compression.weights import Weights
from smdl.foundation.errors import StudyError


class Bench:
    """The matrices of ``model`` at every number of bits, quantized once, and their sizes.

    All of them are kept in main memory: as many times the weights as there are numbers of bits. ``calibration`` are the
    token blocks of a quantizer that looks at data, shape (blocks, context).
    """

    def __init__(
        self, model: nn.Module, settings: Allocation, quantizer: str, calibration: np.ndarray, dense_bits: int
    ):
        self.model = model
        self.bits = settings.bits
        self._weights = Weights(model, dense_bits, calibration, settings.batch_size)
        self.views = self._weights.select(settings.parameters)
        self.names = [view.name for view in self.views]
        self.elements = np.array([view.elements for view in self.views])
        own = {"group": settings.group, "parameters": settings.parameters}
        scheme = registry.build(quantizer, own)
        places = {view: place for place, view in enumerate(self.views)}
        self._tensors: list[dict[int, Tensor]] = [{} for _ in self.views]
        self.sizes = np.zeros((len(self.views), len(self.bits)), dtype=np.int64)
        for option, bits in enumerate(self.bits):
            for item in scheme.compress(self._weights, 2**bits, 0, None):
                self._tensors[places[item.view]][option] = item.tensor.cpu()
                self.sizes[places[item.view], option] = round(item.size.bits)
        self.total = self._weights.elements
        self.dense = (self.total - int(self.elements.sum())) * dense_bits

    def original(self, place: int) -> Tensor:
        """The matrix as it was."""
        return self._weights[self.views[place]]

    def uses(self, place: int) -> list[str]:
        """The names of the modules that use a matrix: two where embedding and unembedding are tied."""
        parameter = self.model.get_parameter(self.views[place].parameter)
        modules = self.model.named_modules()
        return [name for name, module in modules if any(own is parameter for own in module.parameters(recurse=False))]

    def change(self, place: int, option: int) -> Tensor:
        """What quantization adds to a matrix, float32."""
        original = self.original(place)
        return self._tensors[place][option].to(original.device).float() - original.float()

    def squared_errors(self) -> np.ndarray:
        """Squared norms of the changes, shape (matrices, options)."""
        return self._table(lambda place, option: float(self.change(place, option).double().square().sum()))

    def squared_norms(self) -> np.ndarray:
        """Squared norms of the matrices as they were, shape (matrices,)."""
        return np.array([float(self.original(place).double().square().sum()) for place in range(len(self.views))])

    def budget(self, effective: float) -> float:
        """Bits that are left for the matrices where the whole model has so many ``effective`` bits a weight."""
        return effective * self.total - self.dense

    def effective(self, choice: Sequence[int]) -> float:
        """Bits of the whole model over its weights."""
        return (self.dense + int(self.sizes[np.arange(len(choice)), choice].sum())) / self.total

    @contextmanager
    def holding(self, options: dict[int, int]) -> Iterator[nn.Module]:
        """Within, the model has the matrices of these places at these options; behind, its own again."""
        try:
            for place, option in options.items():
                self.views[place].put(self._tensors[place][option])
            yield self.model
        finally:
            for place in options:
                self.views[place].put(self.original(place))

    @contextmanager
    def noisy(self, place: int, scale: float, seed: Sequence[int]) -> Iterator[nn.Module]:
        """Within, a matrix has Gaussian noise of ``scale`` times its root mean square added."""
        original = self.original(place)
        drawn = np.random.default_rng(list(seed)).standard_normal(tuple(original.shape), dtype=np.float32)
        noise = torch.from_numpy(drawn).to(original.device) * original.float().square().mean().sqrt() * scale
        try:
            self.views[place].put(original.float() + noise)
            yield self.model
        finally:
            self.views[place].put(original)

    def _table(self, value: Callable[[int, int], float]) -> np.ndarray:
        """``value`` of every matrix and option, shape (matrices, options)."""
        options = range(len(self.bits))
        return np.array([[value(place, option) for option in options] for place in range(len(self.views))])


def whole(choice: Sequence[int]) -> dict[int, int]:
    """An allocation of all matrices as options by place."""
    return {place: int(option) for place, option in enumerate(choice)}


def feasible(bench: Bench, budgets: Sequence[float]) -> list[float]:
    """The budgets that the smallest allocation keeps to; StudyError where there is none."""
    least = bench.effective([0] * len(bench.views))
    found = [budget for budget in budgets if least <= budget]
    if not found:
        raise StudyError(
            f"allocation.budgets: at {bench.bits[0]} bits for every matrix the model has {least:.3g} effective bits,"
            f" more than the largest budget, {max(budgets):g}: larger budgets, fewer bits, or longer groups"
        )
    return found
