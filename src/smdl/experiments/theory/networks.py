"""Small networks trained to a true function that they contain, so that their excess loss reaches zero.

f(x) = sum_j v_j tanh(u_j . x + c_j); K(w) = mean over the inputs of (f_w(x) - f_teacher(x))^2 / 2, the divergence of
regression with unit noise. A teacher of fewer units leaves the student a set of true parameters of positive dimension.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import least_squares
from torch import Tensor

from smdl.foundation.errors import StudyError

INPUTS = 2
RESTARTS, EVALUATIONS = 40, 4000
# Students whose weights run off to infinity have no w* to compress.
LARGEST_WEIGHT = 10.0
# Relative size of a singular value of the Jacobian that counts as zero.
RANK_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Network:
    """A trained student: its excess loss (nats), its weights w*, and half the rank of the Fisher matrix at w*.

    Where the true parameters form a smooth manifold around w*, half that rank is the local learning coefficient.
    """

    name: str
    excess: Callable[[Tensor], Tensor]
    centre: np.ndarray
    half_rank: float


def train(hidden: int, teacher_units: int, inputs: int, tolerance: float, seed: int) -> Network:
    """A student of ``hidden`` units trained on a teacher of ``teacher_units`` until K < ``tolerance``.

    Raises StudyError when no restart gets there.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(inputs, INPUTS, generator=generator, dtype=torch.float64)
    teacher = torch.randn(teacher_units * (INPUTS + 2), generator=generator, dtype=torch.float64)
    target = outputs(teacher, x) if teacher_units else torch.zeros(inputs, dtype=torch.float64)

    def excess(w: Tensor) -> Tensor:
        return 0.5 * (outputs(w, x.to(w.dtype)) - target.to(w.dtype)).square().mean(-1)

    for _ in range(RESTARTS):
        start = torch.randn(hidden * (INPUTS + 2), generator=generator, dtype=torch.float64)
        w = torch.from_numpy(_fit(start.numpy(), x, target))
        if float(excess(w)) < tolerance and float(w.abs().max()) < LARGEST_WEIGHT:
            return Network(f"teacher{teacher_units}", excess, w.numpy(), _half_rank(w, x))
    raise StudyError(f"theory.networks: no student of {hidden} units got below {tolerance:g} in {RESTARTS} restarts")


def outputs(w: Tensor, x: Tensor) -> Tensor:
    """(..., hidden * (INPUTS + 2)) weights and (n, INPUTS) inputs to (..., n) outputs."""
    units = w.unflatten(-1, (-1, INPUTS + 2))
    inside = units[..., :INPUTS] @ x.T + units[..., INPUTS, None]
    return (units[..., INPUTS + 1, None] * torch.tanh(inside)).sum(-2)


def _fit(w: np.ndarray, x: Tensor, target: Tensor) -> np.ndarray:
    """Levenberg and Marquardt's method, which the flat directions of singular models do not slow down."""

    def residuals(weights: np.ndarray) -> np.ndarray:
        return (outputs(torch.from_numpy(weights), x) - target).numpy()

    return least_squares(residuals, w, method="lm", xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=EVALUATIONS).x


def _half_rank(w: Tensor, x: Tensor) -> float:
    jacobian = torch.autograd.functional.jacobian(lambda weights: outputs(weights, x), w)
    singular = torch.linalg.svdvals(jacobian)
    return float((singular > RANK_TOLERANCE * singular.max()).sum()) / 2
