"""Singular models whose learning coefficient and multiplicity are known in closed form.

Every model is a non-negative K(w), the excess loss in nats, on a box W with the uniform measure; its zeros are the true
parameters. The volume of the sublevel set obeys (Watanabe 2009, theorem 7.1)

    Vol{ K <= eps } / Vol(W)  ~  c eps^lambda log(1/eps)^(m - 1)     for eps -> 0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import log, sqrt

import numpy as np
import torch
from scipy.integrate import quad

from smdl.experiments.aoyagi import deep_linear
from smdl.experiments.theory.mixture import binomial_mixture

HALF_WIDTH = 2.0


@dataclass(frozen=True)
class Model:
    """A model on the box ``low <= w <= high``.

    ``excess`` maps a tensor (..., d) to K (...), differentiable; ``volume`` maps eps to Vol{K <= eps} / Vol(W) where an
    exact integral exists; ``centre`` is the most singular of the true parameters.
    """

    name: str
    formula: str
    excess: Callable[[torch.Tensor], torch.Tensor]
    low: np.ndarray
    high: np.ndarray
    centre: np.ndarray
    learning_coefficient: float
    multiplicity: int
    volume: Callable[[float], float] | None = None

    @property
    def dimension(self) -> int:
        """Number of parameters d."""
        return len(self.low)

    def values(self, w: np.ndarray) -> np.ndarray:
        """K at the rows of ``w`` (..., d), in nats."""
        return self.excess(torch.from_numpy(np.ascontiguousarray(w))).numpy()


def _ellipse_volume(eps: float) -> float:
    return np.pi * eps / sqrt(2) / 16


def _valley_volume(eps: float) -> float:
    return sqrt(eps) / HALF_WIDTH


def _cross_volume(eps: float) -> float:
    reach = sqrt(sqrt(eps) / 2)  # below this w2 every w1 of the box is inside
    return (8 * reach + 4 * sqrt(eps) * (1 / reach - 1 / 2)) / 16


def _product_volume(eps: float, factors: int) -> float:
    share = sqrt(eps) / HALF_WIDTH**factors
    logs = -log(share)
    return share * sum(logs**k / np.prod(range(1, k + 1)) for k in range(factors))


# E over x ~ N(0, 1) by Gauss and Hermite's rule; an even number of nodes, so that none sits on tanh(0) = 0.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(40)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


def _tanh_excess(w: torch.Tensor) -> torch.Tensor:
    nodes, weights = torch.as_tensor(_NODES, dtype=w.dtype), torch.as_tensor(_WEIGHTS, dtype=w.dtype)
    return 0.5 * w[..., 1] ** 2 * (torch.tanh(w[..., :1] * nodes) ** 2 * weights).sum(-1)


def _tanh_volume(eps: float) -> float:
    def reach(a: float) -> float:
        return min(1.0, sqrt(2 * eps / (np.tanh(a * _NODES) ** 2 @ _WEIGHTS)) / HALF_WIDTH)

    # Over log a: the integrand bends at a ~ sqrt(eps), far too close to zero for a rule on a itself.
    bend = log(sqrt(2 * eps) / HALF_WIDTH)
    lower = bend - 40
    value, _ = quad(lambda t: reach(np.exp(t)) * np.exp(t), lower, log(HALF_WIDTH), points=[bend], limit=500)
    return value / HALF_WIDTH


def _matrix_product_excess(inputs: int, hidden: int, outputs: int, rank: int) -> Callable[[torch.Tensor], torch.Tensor]:
    target = torch.zeros(outputs, inputs, dtype=torch.float64)
    target[range(rank), range(rank)] = 1.0

    def excess(w: torch.Tensor) -> torch.Tensor:
        first = w[..., : hidden * inputs].unflatten(-1, (hidden, inputs))
        second = w[..., hidden * inputs :].unflatten(-1, (outputs, hidden))
        return 0.5 * (second @ first - target.to(w.dtype)).square().sum((-2, -1))

    return excess


def divergence(truth: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """KL(truth || other) in nats over the last axis, exact also where the two are nearly equal."""
    ratio = (other - truth) / truth
    return (truth * (ratio - torch.log1p(ratio))).sum(-1)


def _mixture_excess(w: torch.Tensor) -> torch.Tensor:
    return divergence(torch.tensor([0.25, 0.5, 0.25], dtype=w.dtype), torch.stack(binomial_mixture(w), -1))


def _box(dimension: int) -> dict[str, np.ndarray]:
    side = np.full(dimension, HALF_WIDTH)
    return {"low": -side, "high": side, "centre": np.zeros(dimension)}


def _reduced_rank(name: str, inputs: int, hidden: int, outputs: int, rank: int) -> Model:
    coefficient, multiplicity = deep_linear((inputs, hidden, outputs), rank)
    box = _box(hidden * (inputs + outputs))
    for i in range(rank):
        box["centre"][i * inputs + i] = box["centre"][hidden * inputs + i * hidden + i] = 1.0
    formula = f"|BA - C|^2 / 2, widths {inputs}, {hidden}, {outputs}, rank {rank}"
    excess = _matrix_product_excess(inputs, hidden, outputs, rank)
    return Model(name, formula, excess, **box, learning_coefficient=float(coefficient), multiplicity=multiplicity)


def _models() -> dict[str, Model]:
    plane = _box(2)
    # The mixture has lambda = 3/4: its zeros are cut out by the mean and the variance of the mixed probabilities, and
    # K ~ mean^2 + variance^2 with variance ~ a (1 - a) (s - t)^2 gives 1/2 + 1/4 (Yamazaki, Watanabe 2003).
    cube = {"low": np.array([0.2, 0.05, 0.05]), "high": np.array([0.8, 0.95, 0.95]), "centre": np.full(3, 0.5)}
    models = [
        Model("ellipse", "w1^2 + 2 w2^2", lambda w: w[..., 0] ** 2 + 2 * w[..., 1] ** 2, **plane,
              learning_coefficient=1.0, multiplicity=1, volume=_ellipse_volume),
        Model("valley", "w2^2", lambda w: w[..., 1] ** 2, **plane,
              learning_coefficient=0.5, multiplicity=1, volume=_valley_volume),
        Model("cross", "w1^2 w2^4", lambda w: w[..., 0] ** 2 * w[..., 1] ** 4, **plane,
              learning_coefficient=0.25, multiplicity=1, volume=_cross_volume),
        Model("product", "w1^2 w2^2", lambda w: w[..., 0] ** 2 * w[..., 1] ** 2, **plane,
              learning_coefficient=0.5, multiplicity=2, volume=lambda eps: _product_volume(eps, 2)),
        Model("chain", "w1^2 w2^2 w3^2", lambda w: w.prod(-1) ** 2, **_box(3),
              learning_coefficient=0.5, multiplicity=3, volume=lambda eps: _product_volume(eps, 3)),
        Model("tanh", "E (b tanh(a x))^2 / 2", _tanh_excess, **plane,
              learning_coefficient=0.5, multiplicity=2, volume=_tanh_volume),
        _reduced_rank("rank0of1", 2, 1, 2, 0),
        _reduced_rank("rank0of2", 2, 2, 2, 0),
        _reduced_rank("rank1of2", 2, 2, 2, 1),
        Model("mixture", "KL to (1-a) Bin(2,s) + a Bin(2,t)", _mixture_excess, **cube,
              learning_coefficient=0.75, multiplicity=1),
    ]  # fmt: skip
    return {model.name: model for model in models}


MODELS = _models()
