"""Training by the description length, and the rivals: no regularisation, weight decay and ridge regression."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from smdl.experiments.hinton.data import Cases
from smdl.experiments.hinton.network import Shape, expected_squared_error, output, output_moments
from smdl.rulers.codes.noisy import MixturePrior, mixture_bound


@dataclass(frozen=True)
class NoisyNetwork:
    """A trained network of noisy weights: means and standard deviations (weights,), prior, and costs in nats."""

    mean: Tensor
    std: Tensor
    prior: MixturePrior
    weight_nats: float
    misfit_nats: float

    def predict(self, x: np.ndarray, shape: Shape) -> np.ndarray:
        """The expected output over the noisy weights, (cases,)."""
        return output_moments(self.mean, self.std.square(), torch.as_tensor(x), shape)[0].numpy()


def train_noisy(
    cases: Cases,
    shape: Shape,
    prior: MixturePrior,
    coefficients: list[float],
    steps: int,
    tolerance: float,
    mean_std: float,
    noise_std: float,
    seed: int,
) -> NoisyNetwork:
    """Minimise data misfit plus coefficient times the weights' cost, the coefficient raised along ``coefficients``.

    All means, log standard deviations and the prior are optimised together, ``steps`` updates for every coefficient
    and, at the last, until the cost changes by less than ``tolerance`` nats (section 9). The means start from
    N(0, mean_std^2), every standard deviation from ``noise_std``.
    """
    x, y = torch.as_tensor(cases.x), torch.as_tensor(cases.y)
    generator = torch.Generator().manual_seed(seed)
    mean = mean_std * torch.randn(shape.weights, generator=generator, dtype=torch.float64)
    vector = torch.cat([mean, torch.full_like(mean, np.log(noise_std)), prior.logits, prior.means, prior.log_stds])
    sizes = [shape.weights] * 2 + [len(prior.means)] * 3

    def costs(vector: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std, *parts = vector.split(sizes)
        error = expected_squared_error(mean, (2 * log_std).exp(), x, y, shape)
        return misfit_nats(error, len(y)), mixture_bound(mean, log_std, MixturePrior(*parts)).sum()

    for coefficient in coefficients:
        last = coefficient == coefficients[-1]

        def total(vector: Tensor, coefficient: float = coefficient) -> Tensor:
            misfit, weights = costs(vector)
            return misfit + coefficient * weights

        vector = minimised(total, vector, None if last else steps, tolerance)
    misfit, weights = costs(vector)
    mean, log_std, *parts = vector.split(sizes)
    return NoisyNetwork(mean, log_std.exp(), MixturePrior(*parts), float(weights), float(misfit))


def train_exact(cases: Cases, shape: Shape, decay: float, mean_std: float, steps: int, seed: int) -> Tensor:
    """Weights of the noise-free network that minimise squared error plus ``decay`` times their squares (eq. 4)."""
    x, y = torch.as_tensor(cases.x), torch.as_tensor(cases.y)
    generator = torch.Generator().manual_seed(seed)
    start = mean_std * torch.randn(shape.weights, generator=generator, dtype=torch.float64)

    def cost(weights: Tensor) -> Tensor:
        return 0.5 * ((y - output(weights, x, shape)).square().sum() + decay * weights.square().sum())

    return minimised(cost, start, steps, 1e-8)


def ridge(cases: Cases, penalty: float) -> np.ndarray:
    """Coefficients of linear regression with ``penalty`` on their squares, the intercept (last) free; (inputs + 1,)."""
    centre, level = cases.x.mean(0), cases.y.mean()
    x = cases.x - centre
    if penalty == 0:
        slope = np.linalg.lstsq(x, cases.y - level, rcond=None)[0]
    else:
        slope = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ (cases.y - level))
    return np.append(slope, level - centre @ slope)


def misfit_nats(mean_squared_error: Tensor, cases: int) -> Tensor:
    """Cost of the data misfits, N/2 log of their mean square (eq. 3 without its constant), in nats."""
    return 0.5 * cases * mean_squared_error.log()


def relative_error(y: np.ndarray, predicted: np.ndarray) -> float:
    """Squared error over that of guessing the mean of the very targets ``y`` (eq. 27)."""
    return float(((y - predicted) ** 2).sum() / ((y - y.mean()) ** 2).sum())


def minimised(cost: Callable[[Tensor], Tensor], start: Tensor, steps: int | None, tolerance: float) -> Tensor:
    """Where ``cost`` is least, by L-BFGS from ``start``: ``steps`` updates, or (None) until it stands still."""

    def value_and_gradient(point: np.ndarray) -> tuple[float, np.ndarray]:
        vector = torch.tensor(point, requires_grad=True)
        value = cost(vector)
        value.backward()
        return value.item(), vector.grad.numpy()

    # scipy compares the relative change (f - f') / max(f, f', 1); the paper's bound is absolute, in nats
    scale = max(abs(float(cost(start))), 1.0)
    options = {"maxiter": steps or 20_000, "maxfun": 40_000, "ftol": tolerance / scale, "gtol": 0.0, "maxcor": 20}
    return torch.as_tensor(minimize(value_and_gradient, start.numpy(), jac=True, method="L-BFGS-B", options=options).x)
