"""The reference sampler: against closed forms, against a quadrature, and that its step does not depend on dimension."""

import numpy as np
import pytest
import torch

from smdl.llc.diagnostics import diagnose
from smdl.llc.hmc import sample


class Well:
    """1/2 sum h w^2 plus c sum w^4 over the weights, as the mean of two sequences that differ."""

    size = 2

    def __init__(self, curvatures: np.ndarray, quartic: float = 0.0):
        self.curvatures, self.quartic = torch.from_numpy(np.asarray(curvatures, float)), quartic
        self.parameters = [torch.zeros(len(curvatures), dtype=torch.float64).requires_grad_()]

    def __call__(self, sequences: np.ndarray) -> torch.Tensor:
        w = self.parameters[0]
        mean = 0.5 * (self.curvatures * w**2).sum() + self.quartic * (w**4).sum() + 2.0
        slopes = torch.tensor([1.0, -1.0], dtype=torch.float64)[sequences]
        return mean + slopes * w.sum()


@pytest.mark.parametrize(("n_beta", "gamma"), [(30.0, 300.0), (100.0, 100.0)])
def test_a_quadratic_well_has_its_coefficient_and_its_variance(n_beta, gamma):
    h = np.geomspace(0.1, 100, 40)
    found = sample(Well(h), n_beta, gamma, chains=4, warm_up=40, draws=150, batch_size=1, seed=1)
    p = n_beta * h / (n_beta * h + gamma)
    error = n_beta * diagnose(found.excess).se
    assert abs(n_beta * found.excess.mean() - p.sum() / 2) < 4 * error < 0.6 * p.sum() / 2
    assert n_beta**2 * found.excess.var() == pytest.approx((p**2).sum() / 2, rel=0.4)
    assert 0.6 < found.acceptance < 0.98
    assert diagnose(found.excess).r_hat < 1.1


def test_a_well_that_is_no_quadratic_has_the_coefficient_of_the_quadrature():
    n_beta, gamma, h, c = 50.0, 5.0, 0.2, 3.0
    w = np.linspace(-3, 3, 20001)
    loss = 0.5 * h * w**2 + c * w**4
    density = np.exp(-n_beta * loss - gamma * w**2 / 2)
    truth = 20 * n_beta * (loss * density).sum() / density.sum()
    found = sample(Well(np.full(20, h), c), n_beta, gamma, chains=4, warm_up=40, draws=150, batch_size=2, seed=2)
    error = n_beta * diagnose(found.excess).se
    assert abs(n_beta * found.excess.mean() - truth) < 4 * error < 0.3 * truth


def test_weights_that_the_loss_does_not_feel_cost_no_acceptance():
    felt = np.geomspace(1, 100, 10)
    few = sample(Well(felt), 30.0, 300.0, chains=2, warm_up=40, draws=30, batch_size=2, seed=3)
    many = sample(
        Well(np.concatenate([felt, np.zeros(10_000)])),
        30.0,
        300.0,
        chains=2,
        warm_up=60,
        draws=60,
        batch_size=2,
        seed=3,
    )
    assert many.acceptance > few.acceptance - 0.15
    assert many.angle > 0.5 * few.angle


def test_equal_seeds_give_equal_draws_and_the_weights_are_left_as_they_were():
    well = Well(np.ones(5))
    first, second = (sample(well, 30.0, 300.0, 2, 5, 10, 2, seed) for seed in (1, 1))
    assert np.array_equal(first.excess, second.excess)
    assert torch.equal(well.parameters[0].detach(), torch.zeros(5, dtype=torch.float64))
    assert first.gradients > 30
