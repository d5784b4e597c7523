"""One hidden layer of logistic units, a linear output, noisy weights: the exact mean and variance of its output.

Source: Hinton and van Camp 1993, section 5.3. They propagate a Gaussian through the logistic function by a table of
300 x 300 entries; here Gauss-Hermite quadrature does it, and automatic differentiation gives the derivatives.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

QUADRATURE_NODES = 32


@dataclass(frozen=True)
class Shape:
    """How many inputs and hidden units; one output."""

    inputs: int
    hidden: int

    @property
    def weights(self) -> int:
        """All adaptive weights, biases of the hidden units and of the output included."""
        return self.hidden * (self.inputs + 2) + 1

    def split(self, vector: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All weights as incoming (hidden, inputs), hidden bias (hidden,), outgoing (hidden,) and output bias ()."""
        incoming = self.hidden * self.inputs
        parts = vector.split([incoming, self.hidden, self.hidden, 1])
        return parts[0].view(self.hidden, self.inputs), parts[1], parts[2], parts[3][0]


def output(weights: Tensor, x: Tensor, shape: Shape) -> Tensor:
    """Output of the noise-free network for inputs ``x`` (cases, inputs); shape (cases,)."""
    incoming, hidden_bias, outgoing, bias = shape.split(weights)
    return torch.sigmoid(x @ incoming.T + hidden_bias) @ outgoing + bias


def output_moments(mean: Tensor, variance: Tensor, x: Tensor, shape: Shape) -> tuple[Tensor, Tensor]:
    """Mean and variance of the output over independent Gaussian weights (eqs. 10 and 11); each of shape (cases,).

    ``mean`` and ``variance`` are those of the weights, (weights,); ``x`` is (cases, inputs).
    """
    incoming, hidden_bias, outgoing, bias = shape.split(mean)
    v_incoming, v_hidden_bias, v_outgoing, v_bias = shape.split(variance)
    total = x @ incoming.T + hidden_bias
    v_total = x.square() @ v_incoming.T + v_hidden_bias
    activity, v_activity = logistic_moments(total, v_total)
    v_output = v_activity @ (outgoing.square() + v_outgoing) + activity.square() @ v_outgoing + v_bias
    return activity @ outgoing + bias, v_output


def expected_squared_error(mean: Tensor, variance: Tensor, x: Tensor, y: Tensor, shape: Shape) -> Tensor:
    """Mean over the cases of E (y - output)^2 over the noisy weights (eq. 12), exact; a scalar."""
    centre, spread = output_moments(mean, variance, x, shape)
    return ((y - centre).square() + spread).mean()


def logistic_moments(mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of the logistic function of a Gaussian; error below 1e-6 up to variance 4, 1e-4 up to 9."""
    nodes, weights = _quadrature()
    values = torch.sigmoid(mean[..., None] + variance.sqrt()[..., None] * nodes)
    first = values @ weights
    return first, (values - first[..., None]).square() @ weights


@cache
def _quadrature() -> tuple[Tensor, Tensor]:
    """Nodes and weights for the expectation of a function of a standard normal variable."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(QUADRATURE_NODES)
    return torch.as_tensor(nodes), torch.as_tensor(weights / weights.sum())
