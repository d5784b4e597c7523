"""The 1993 experiment: its network's exact moments, its data, and that it does what it says on a small scale."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm

from smdl.experiments.hinton.data import Cases, make
from smdl.experiments.hinton.experiment import cases_of, run, shape_of, summarise
from smdl.experiments.hinton.network import Shape, expected_squared_error, logistic_moments, output, output_moments
from smdl.experiments.hinton.settings import Hinton, Rule
from smdl.experiments.hinton.training import relative_error, ridge, train_exact, train_noisy
from smdl.rulers.codes.noisy import MixturePrior

SMALL = Shape(inputs=6, hidden=3)


def random_network(seed: int, spread: float) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(SMALL.weights, generator=generator, dtype=torch.float64)
    return mean, spread * torch.rand(SMALL.weights, generator=generator, dtype=torch.float64)


def cases(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, SMALL.inputs, generator=generator, dtype=torch.float64)
    return x, torch.randn(count, generator=generator, dtype=torch.float64)


def test_the_network_of_1993_has_521_weights():
    assert Shape(inputs=128, hidden=4).weights == 521


@pytest.mark.parametrize("variance", [0.01, 1.0, 4.0])
@pytest.mark.parametrize("mean", [-5.0, -0.3, 2.0])
def test_logistic_moments_agree_with_adaptive_integration(mean, variance):
    def moment(f):
        return quad(lambda z: f(expit(mean + variance**0.5 * z)) * norm.pdf(z), -10, 10, epsabs=1e-10)[0]

    first = moment(lambda h: h)
    second = moment(lambda h: (h - first) ** 2)
    got = logistic_moments(torch.tensor(mean, dtype=torch.float64), torch.tensor(variance, dtype=torch.float64))
    assert got[0].item() == pytest.approx(first, abs=1e-6)
    assert got[1].item() == pytest.approx(second, abs=1e-6)


def test_the_exact_expected_error_agrees_with_monte_carlo():
    mean, variance = random_network(seed=0, spread=0.5)
    x, y = cases(5, seed=1)
    generator = torch.Generator().manual_seed(2)
    draws = 40_000
    noise = torch.randn(draws, SMALL.weights, generator=generator, dtype=torch.float64)
    outputs = torch.vmap(lambda weights: output(weights, x, SMALL))(mean + variance.sqrt() * noise)
    errors = (y - outputs).square().mean(1)
    exact = expected_squared_error(mean, variance, x, y, SMALL).item()
    assert abs(errors.mean().item() - exact) < 4 * errors.std().item() / draws**0.5
    centre, spread = output_moments(mean, variance, x, SMALL)
    assert torch.allclose(outputs.mean(0), centre, atol=0.05)
    assert torch.allclose(outputs.var(0), spread, rtol=0.05)


def test_without_noise_the_expected_error_is_the_error():
    mean, variance = random_network(seed=3, spread=0.0)
    x, y = cases(7, seed=4)
    plain = (y - output(mean, x, SMALL)).square().mean()
    assert expected_squared_error(mean, variance, x, y, SMALL).item() == pytest.approx(plain.item(), rel=1e-12)


def test_the_gradient_of_the_expected_error_agrees_with_finite_differences():
    mean, variance = random_network(seed=5, spread=0.3)
    x, y = cases(4, seed=6)
    mean.requires_grad_()
    variance.requires_grad_()
    assert torch.autograd.gradcheck(lambda m, v: expected_squared_error(m, v, x, y, SMALL), (mean, variance))


def test_the_data_have_the_shape_of_1993_and_follow_their_rule():
    rule = Rule(units=2, inputs_each=4, gain=1.0, noise=0.3)
    training, test, weights = make(rule, 16, 8, 105, 420, seed=0)
    assert training.x.shape == (105, 128) and test.x.shape == (420, 128)
    assert (weights != 0).sum(1).tolist() == [4, 4]
    x, y = np.concatenate([training.x, test.x]), np.concatenate([training.y, test.y])
    assert np.allclose([x.mean(), y.mean()], 0)
    assert np.allclose([x.std(0).min(), x.std(0).max(), y.std()], 1)
    features = np.column_stack([expit(x @ weights.T), np.ones(len(y))])
    fitted = features @ np.linalg.lstsq(features, y, rcond=None)[0]
    assert relative_error(y, fitted) == pytest.approx(rule.noise**2 / (1 + rule.noise**2), rel=0.25)


def test_the_same_seed_gives_the_same_cases_and_another_seed_others():
    rule = Rule(units=1, inputs_each=2, gain=1.0, noise=0.1)
    first, again, other = (make(rule, 2, 3, 10, 10, seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first.x, again.x)
    assert np.array_equal(first.y, again.y)
    assert not np.array_equal(first.y, other.y)


def test_relative_error_of_the_mean_is_one():
    y = np.array([1.0, 2.0, 4.0])
    assert relative_error(y, np.full(3, y.mean())) == 1.0
    assert relative_error(y, y) == 0.0


def test_ridge_leaves_the_intercept_free_and_shrinks_the_rest():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 3))
    data = Cases(x, x @ np.array([1.0, -2.0, 0.5]) + 7.0)
    assert np.allclose(ridge(data, 0.0), [1.0, -2.0, 0.5, 7.0])
    heavy = ridge(data, 1e9)
    assert np.allclose(heavy[:-1], 0, atol=1e-5)
    assert heavy @ [*x.mean(0), 1.0] == pytest.approx(data.y.mean())


def tiny() -> Hinton:
    rule = {"units": 1, "inputs_each": 2, "gain": 1.0, "noise": 0.2}
    small = {"positions": 3, "descriptors": 4, "hidden": 2, "training": 40, "test": 80, "rule": rule}
    fast = {"restarts": 2, "tolerance": 1e-2, "steps": 30, "exact_steps": 200}
    few = {"weight_decays": [0.1, 3.0], "ridge_penalties": [1.0, 30.0]}
    return Hinton(**small, **fast, **few)


def test_the_experiment_on_a_small_scale():
    settings = tiny()
    runs, weights, prior = (pd.DataFrame(rows) for rows in run(settings, dataset=0))
    assert len(weights) == shape_of(settings).weights
    assert prior["proportion"].sum() == pytest.approx(1)
    noisy = runs[runs["method"] == "description_length"]
    assert noisy.loc[noisy["chosen"], "total_bits"].item() == noisy["total_bits"].min()
    assert runs[runs["chosen"]].groupby("method").size().eq(1).all()
    summary = summarise(runs).set_index("method")
    # The rule can be learnt, better than by guessing. How well, and by which method best, is for the real experiment:
    # thirty steps of an optimisation end elsewhere on another processor.
    errors = summary["test_relative_error"]
    assert np.isfinite(errors).all()
    assert errors["description_length"] < 0.7
    assert summary.loc["description_length", "published"] == 0.286


def test_a_higher_coefficient_leaves_fewer_bits_in_the_weights():
    settings = tiny()
    training, _ = cases_of(settings, 0)
    prior = MixturePrior.evenly_spaced(-0.24, 0.24, 5)
    nats = [
        train_noisy(training, shape_of(settings), prior, [coefficient], 50, 1e-2, 0.15, 0.1, seed=0).weight_nats
        for coefficient in (0.05, 1.0)
    ]
    assert nats[1] < nats[0]


def test_weight_decay_shrinks_the_weights():
    settings = tiny()
    training, _ = cases_of(settings, 0)
    norms = [train_exact(training, shape_of(settings), decay, 0.15, 200, seed=0).norm().item() for decay in (0.0, 10.0)]
    assert norms[1] < norms[0]
