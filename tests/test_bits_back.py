"""Bits back: divergences against closed forms, the mixture bound, gradients, and a posterior that is known exactly."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from smdl.llc.noise import normals
from smdl.models.backward import backward
from smdl.rulers.codes.noisy import (
    MixturePrior,
    NoisySettings,
    bound_gradients,
    describe,
    gaussian_divergence,
    mixture_bound,
    mixture_prior,
)

numbers = st.floats(-3, 3)


def double(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@given(numbers, numbers, numbers, numbers)
def test_the_divergence_of_two_gaussians_is_the_closed_form(mean, log_std, prior_mean, prior_log_std):
    mean, log_std, prior_mean, prior_log_std = map(double, (mean, log_std, prior_mean, prior_log_std))
    expected = kl_divergence(Normal(mean, log_std.exp()), Normal(prior_mean, prior_log_std.exp()))
    assert torch.allclose(gaussian_divergence(mean, log_std, prior_mean, prior_log_std), expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(numbers, st.floats(-2, 1), st.lists(st.tuples(numbers, numbers, st.floats(-2, 1)), min_size=1, max_size=4))
def test_the_mixture_bound_is_an_upper_bound(mean, log_std, components):
    prior = MixturePrior(*(double(*column) for column in zip(*components, strict=True)))
    grid = mean + torch.linspace(-9, 9, 4001, dtype=torch.float64) * np.exp(log_std)
    posterior = Normal(double(mean), double(log_std).exp()).log_prob(grid)
    exact = torch.trapezoid(posterior.exp() * (posterior - prior.log_density(grid)), grid).item()
    bound = mixture_bound(double(mean), double(log_std), prior).item()
    assert bound >= exact - 1e-6
    if len(components) == 1:
        assert bound == pytest.approx(exact, rel=1e-5, abs=1e-5)


def test_the_prior_of_1993_is_even_and_two_deviations_apart():
    prior = MixturePrior.evenly_spaced(-0.24, 0.24, 5)
    assert torch.allclose(prior.means, double(-0.24, -0.12, 0.0, 0.12, 0.24))
    assert torch.allclose(prior.log_stds.exp(), double(0.06).expand(5))


def test_gradients_of_the_bound_agree_with_finite_differences():
    prior = MixturePrior(double(0.3, -0.2), double(0.5, -0.5), double(-1.0, 0.2))
    mean, log_std = double(0.1, -0.7, 0.4), double(-1.5, 0.0, -0.3)
    assert torch.autograd.gradcheck(
        lambda *parts: mixture_bound(parts[0], parts[1], MixturePrior(*parts[2:])),
        [t.clone().requires_grad_() for t in (mean, log_std, prior.logits, prior.means, prior.log_stds)],
    )
    value, by_mean, by_log_std = bound_gradients(mean, log_std, prior)
    assert value == pytest.approx(mixture_bound(mean, log_std, prior).sum().item())
    step = 1e-6
    for i, shift in enumerate(step * torch.eye(3, dtype=torch.float64)):
        along_mean = mixture_bound(mean + shift, log_std, prior) - mixture_bound(mean - shift, log_std, prior)
        along_log_std = mixture_bound(mean, log_std + shift, prior) - mixture_bound(mean, log_std - shift, prior)
        assert by_mean[i].item() == pytest.approx(along_mean.sum().item() / (2 * step), rel=1e-5)
        assert by_log_std[i].item() == pytest.approx(along_log_std.sum().item() / (2 * step), rel=1e-5)


class Quadratic:
    """L(w) = 1/2 sum h_i (w_i - centre_i)^2, the same for every sequence: its best Gaussian posterior is known."""

    def __init__(self, curvature: torch.Tensor, centre: torch.Tensor):
        self.curvature, self.centre = curvature, centre
        self.parameters = [centre.clone().requires_grad_()]
        self.size = 8

    def __call__(self, sequences: np.ndarray) -> torch.Tensor:
        loss = 0.5 * (self.curvature * (self.parameters[0] - self.centre).square()).sum()
        return loss.expand(len(sequences))


SETTINGS = NoisySettings(
    tokens=1000, steps=600, lr=0.05, batch_size=8, initial_std=2e-3, train_means=False, samples=200
)
STANDARD = MixturePrior(double(0.0), double(0.0), double(0.0))


def test_the_learnt_variances_are_those_of_the_exact_posterior():
    curvature, centre = double(0.01, 1.0, 100.0).repeat(30), torch.linspace(-1, 1, 90, dtype=torch.float64)
    loss = Quadratic(curvature, centre)
    found = describe(loss, STANDARD, SETTINGS, seed=0)
    # 1/std^2 = n h + 1/s^2 where the mean is held fixed
    precision = SETTINGS.tokens * curvature + 1
    deviation = (found.log_stds[0] + 0.5 * precision.log()).view(30, 3)
    assert deviation.abs().max() < 0.3, "what Adam's last steps still stir"
    assert deviation.mean(dim=0).abs().max() < 0.06
    exact_nats = 0.5 * (precision.log() + 1 / precision + centre.square() - 1).sum().item()
    assert found.weight_bits == pytest.approx(exact_nats / np.log(2), rel=0.03)
    assert found.loss == 0
    assert found.expected_loss == pytest.approx(0.5 * (curvature / precision).sum().item(), rel=0.15)
    assert found.data_bits == pytest.approx(SETTINGS.tokens * found.expected_loss / np.log(2))
    assert found.expected_loss_se > 0
    assert torch.equal(loss.parameters[0].detach(), centre)


def test_learnt_means_move_towards_the_prior():
    centre = torch.linspace(1.5, 2.5, 21, dtype=torch.float64)
    loss = Quadratic(torch.full((21,), 0.001, dtype=torch.float64), centre)
    found = describe(loss, STANDARD, replace(SETTINGS, train_means=True), seed=0)
    # the posterior's mean is n h / (n h + 1) of the way from the prior's mean to the loss's minimum
    assert found.means[0].mean().item() == pytest.approx(1.0, abs=0.15)
    assert found.weight_bits < describe(loss, STANDARD, SETTINGS, seed=0).weight_bits
    assert torch.equal(loss.parameters[0].detach(), centre)


def test_the_description_is_the_same_for_the_same_seed():
    few = replace(SETTINGS, steps=5, samples=3)
    bits = [
        describe(Quadratic(double(1, 2), double(0.5, 1)), STANDARD, few, seed=seed).weight_bits for seed in (1, 1, 2)
    ]
    assert bits[0] == bits[1] != bits[2]


def test_a_fitted_prior_describes_its_weights_better_than_that_of_1993():
    rng = np.random.default_rng(0)
    weights = np.concatenate([rng.normal(0, 0.02, 3000), rng.normal(1, 0.1, 300)])
    values = torch.as_tensor(weights)
    fitted, start = mixture_prior(weights, components=3), MixturePrior.evenly_spaced(-0.24, 0.24, 5)
    assert fitted.log_density(values).mean() > start.log_density(values).mean() + 1


class Network:
    """A two-layer network's squared error, a data point a sequence: several tensors, and minibatches that differ."""

    def __init__(self):
        random = torch.Generator().manual_seed(0)
        self.inputs, self.targets = (torch.randn(24, 8, generator=random) for _ in range(2))
        self.parameters = [torch.nn.Parameter(torch.randn(8, 8, generator=random) / 3) for _ in range(2)]
        self.size = 24

    def __call__(self, sequences: np.ndarray) -> torch.Tensor:
        first, second = self.parameters
        return (torch.tanh(self.inputs[sequences] @ first) @ second - self.targets[sequences]).pow(2).mean(dim=1)


def described_at_once(loss: Network, prior: MixturePrior, settings: NoisySettings, seed: int) -> list[torch.Tensor]:
    """Means and log deviations where the noise and all gradients are kept, as the definition reads."""
    means = [parameter.detach().clone() for parameter in loss.parameters]
    deviation = torch.cat([mean.flatten() for mean in means]).std()
    log_stds = [torch.full_like(mean, float((settings.initial_std * deviation).log())) for mean in means]
    optimizer = torch.optim.Adam([*log_stds, *(means if settings.train_means else [])], settings.lr, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    batches, cpu = np.random.default_rng(seed), torch.device("cpu")
    for draw in range(1, settings.steps + 1):
        noises = [normals(seed, n, draw, 0, mean.numel(), cpu).view(mean.shape) for n, mean in enumerate(means)]
        for parameter, mean, log_std, noise in zip(loss.parameters, means, log_stds, noises, strict=True):
            parameter.data = mean + log_std.exp() * noise
        batch = batches.choice(loss.size, settings.batch_size, replace=False)
        gradients = torch.autograd.grad(loss(batch).mean(), loss.parameters)
        for mean, log_std, noise, gradient in zip(means, log_stds, noises, gradients, strict=True):
            parts = [part.clone().requires_grad_() for part in (mean, log_std)]
            by_mean, by_log_std = torch.autograd.grad(mixture_bound(*parts, prior).sum(), parts)
            mean.grad = gradient + by_mean / settings.tokens
            log_std.grad = gradient * noise * log_std.exp() + by_log_std / settings.tokens
        optimizer.step()
        schedule.step()
    return [*means, *log_stds]


@pytest.mark.parametrize("train_means", [False, True])
@pytest.mark.parametrize("at_once", [None, 5])
def test_what_is_learnt_tensor_by_tensor_is_what_is_learnt_at_once(train_means, at_once):
    few = NoisySettings(1000, 40, 0.05, 8, 0.01, train_means, 2, sequences_at_once=at_once)
    prior = MixturePrior(torch.zeros(2), torch.tensor([-0.3, 0.3]), torch.tensor([-1.0, -2.0]))
    loss = Network()
    before = copy.deepcopy(loss.parameters)
    found = describe(loss, prior, few, seed=3)
    assert all(torch.equal(one, other) for one, other in zip(loss.parameters, before, strict=True))
    for one, other in zip([*found.means, *found.log_stds], described_at_once(Network(), prior, few, 3), strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)


def test_of_gradients_no_more_than_one_is_held():
    parameters = [torch.nn.Parameter(torch.ones(4)) for _ in range(9)]
    held = []
    losses = lambda batch: torch.stack([part.sum() for part in parameters]).sum().expand(len(batch))  # noqa: E731
    with backward(losses, parameters, lambda *_: held.append(sum(p.grad is not None for p in parameters))) as run:
        run(np.arange(3))
    assert held == [1] * 9 and all(parameter.grad is None for parameter in parameters)
