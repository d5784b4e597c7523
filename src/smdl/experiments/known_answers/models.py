"""Models of known learning coefficient, each a stack of chains at w* that the sampler walks as it does language models.

All are realisable and free of noise, so that the loss at w* is zero, and the excess loss is the loss.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

Generator = np.random.Generator


class Crossings:
    """K(w) = sum_t c_t prod_i |w_ti|^{p_ti}, every term t of weights of its own; w* = 0. One sequence, of loss K.

    ``powers`` has shape (terms, factors); a power of 0 is a weight on which K does not depend.
    """

    size = 1

    def __init__(self, powers: Sequence[Sequence[float]], factors: Sequence[float], chains: int):
        self.powers = torch.tensor(powers, dtype=torch.float32)
        self.factors = torch.tensor(factors, dtype=torch.float32)
        self.parameters = [torch.zeros(chains, *self.powers.shape, requires_grad=True)]

    def __call__(self, sequences: np.ndarray) -> Tensor:
        terms = (self.parameters[0].abs() ** self.powers).prod(dim=-1)
        return (terms @ self.factors)[:, None]


class DeepLinear:
    """Regression on x -> W_L ... W_1 x. Where W are several, each is scaled by 1/sqrt(its larger side), so that the
    same step size and localisation suit all widths.

    ``size`` inputs are drawn from N(0, I). In every layer the true weights have ``rank`` singular values of one, none
    beside, within random bases: the most singular of the true parameters, since symmetries of the loss carry any other
    as near to it as one likes. So its local learning coefficient is the global one, which Aoyagi's formula gives.
    """

    def __init__(self, widths: Sequence[int], rank: int, size: int, chains: int, random: Generator):
        self.size = size
        self.inputs = _normal(random, size, widths[0])
        bases = [torch.linalg.qr(_normal(random, width, width))[0][:, :rank] for width in widths]
        shapes = list(zip(widths[1:], widths[:-1], strict=True))
        self.scales = [1 / math.sqrt(max(shape)) if len(shapes) > 1 else 1.0 for shape in shapes]
        true = [after @ before.mT / scale for after, before, scale in zip(bases[1:], bases, self.scales, strict=False)]
        self.parameters = [w.expand(chains, -1, -1).clone().requires_grad_() for w in true]
        self.targets = self._forward(self.inputs, true)

    def __call__(self, sequences: np.ndarray) -> Tensor:
        error = self._forward(self.inputs[sequences], self.parameters) - self.targets[sequences]
        return error.square().sum(dim=-1) / 2

    def _forward(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        for weight, scale in zip(weights, self.scales, strict=True):
            x = x @ weight.to(x.dtype).mT * scale
        return x


def _normal(random: Generator, *shape: int) -> Tensor:
    return torch.from_numpy(random.standard_normal(shape, dtype=np.float32))
