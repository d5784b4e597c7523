"""Models of known learning coefficient, each a stack of chains at w* that the sampler walks as it does language models.

All are realisable and free of noise, so that the loss at w* is zero, and the excess loss is the loss.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

Generator = np.random.Generator


class Polynomial:
    """K(w) = sum_t prod_i |w_i|^{p_ti} over ``terms`` t; w* = 0. Every sequence has the loss K."""

    size = 1

    def __init__(self, terms: Sequence[Sequence[float]], chains: int):
        self.powers = torch.tensor(terms, dtype=torch.float32)
        self.parameters = [torch.zeros(chains, self.powers.shape[1], requires_grad=True)]

    def __call__(self, sequences: np.ndarray) -> Tensor:
        factors = self.parameters[0].abs()[:, None, :] ** self.powers
        return factors.prod(dim=-1).sum(dim=-1, keepdim=True)


class DeepLinear:
    """Regression on x -> W_L ... W_1 x, each W scaled by 1/sqrt(its larger side) so that equal settings suit all widths.

    ``size`` inputs are drawn from N(0, I). The true weights have ``rank`` singular values of one and none beside, in
    every layer, within random bases: the most singular point of the set of true parameters, to which all its points can
    be carried as near as one likes by symmetries of the loss. Its local learning coefficient is therefore the global one.
    """

    def __init__(self, widths: Sequence[int], rank: int, size: int, chains: int, random: Generator):
        self.size = size
        self.inputs = _normal(random, size, widths[0])
        bases = [torch.linalg.qr(_normal(random, width, width))[0][:, :rank] for width in widths]
        shapes = list(zip(widths[1:], widths[:-1], strict=True))
        self.scales = [1 / math.sqrt(max(shape)) for shape in shapes]
        true = [after @ before.mT / scale for after, before, scale in zip(bases[1:], bases, self.scales, strict=False)]
        self.parameters = [w.expand(chains, -1, -1).clone().requires_grad_() for w in true]
        self.targets = self._forward(self.inputs, true)

    def __call__(self, sequences: np.ndarray) -> Tensor:
        error = self._forward(self.inputs[sequences], self.parameters) - self.targets[sequences]
        return error.square().sum(dim=-1) / 2

    def _forward(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        for weight, scale in zip(weights, self.scales, strict=True):
            x = x @ weight.mT * scale
        return x


def _normal(random: Generator, *shape: int) -> Tensor:
    return torch.from_numpy(random.standard_normal(shape, dtype=np.float32))
