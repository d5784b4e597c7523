"""The estimate, its error and its status, each status provoked by a real chain."""

import numpy as np
import pandas as pd
import pytest
import torch

from smdl.llc.chains import block, sample
from smdl.llc.diagnostics import diagnose
from smdl.llc.estimate import estimate, stationary_from
from smdl.llc.settings import Gates, Sampler
from smdl.llc.state import StateStore

GATES = Gates(max_excess=15, max_r_hat=1.2, max_drift=5, max_relative_se=0.2)
SETTINGS = Sampler(
    lr=1e-4, n_beta=30, gamma=300, alpha=0.99, eps_rms=0.1, batch_size=8, burn_in=60, draws=80, steps_between_draws=1
)


class NoisyBowl:
    """Sequence s has the loss 1/2 |w - centre|^2 + noise_s . w, the noise adding up to nothing over the sequences."""

    def __init__(self, centre: float = 0.0, curvature: float = 1.0, noise: float = 0.0, dimension: int = 400):
        random = torch.Generator().manual_seed(0)
        slopes = noise * torch.randn(64, dimension, generator=random)
        self.slopes = slopes - slopes.mean(dim=0)
        self.centre, self.curvature = centre, curvature
        self.parameters = [torch.nn.Parameter(torch.zeros(dimension))]
        self.size = 64

    def __call__(self, sequences: np.ndarray) -> torch.Tensor:
        weights = self.parameters[0]
        bowl = 0.5 * self.curvature * (weights - self.centre).pow(2).sum()
        return bowl + self.slopes[sequences] @ weights


def draws(loss: NoisyBowl, settings: Sampler, folder, chains: int = 4) -> pd.DataFrame:
    baseline = loss(np.arange(loss.size)).detach().double().numpy()
    return sample(loss, baseline, settings, block(range(chains), True), 1, StateStore(folder, "digest", 1e9))


def judged(loss: NoisyBowl, settings: Sampler, folder) -> dict:
    return estimate(draws(loss, settings, folder), settings.n_beta, GATES)


def test_a_good_chain_is_ok_and_right(tmp_path):
    """n_beta E[L] of a bowl with localisation is d/2 n_beta c / (n_beta c + gamma).

    The bowl is flat, so that the root of V is far below eps_rms: where it is not, the missing correction term of pSGLD
    raises the estimate by some ten per cent.
    """
    settings = SETTINGS.changed(n_beta=300.0, lr=2e-5, burn_in=150, draws=400)
    found = judged(NoisyBowl(curvature=0.1), settings, tmp_path)
    assert (found["status"], found["reason"]) == ("ok", "")
    assert found["llc"] == pytest.approx(200 * 30 / 330, rel=0.05)
    assert abs(found["llc"] - 200 * 30 / 330) < 4 * found["llc_se"]
    assert found["control"] == pytest.approx(200 * 30 / 300, rel=0.05)
    assert found["llc_minus_control"] == found["llc"] - found["control"]


def test_negative_where_w_star_is_far_from_a_minimum(tmp_path):
    found = judged(NoisyBowl(centre=0.5), SETTINGS, tmp_path)
    assert found["status"] == "negative"
    assert found["llc"] < 0
    assert found["negative"] > 0.5
    assert "the chain found lower losses than w* has" in found["reason"]


def test_not_mixed_where_the_steps_are_too_small(tmp_path):
    found = judged(NoisyBowl(), SETTINGS.changed(lr=1e-7, burn_in=0), tmp_path)
    assert found["status"] == "not mixed"
    assert found["r_hat"] > 1.2


def test_drifting_where_burn_in_is_kept(tmp_path):
    loss, settings = NoisyBowl(), SETTINGS.changed(lr=2e-6, burn_in=0, draws=200)
    found = estimate(draws(loss, settings, tmp_path), 30, GATES.model_copy(update={"max_r_hat": 100}))
    assert found["status"] == "drifting"
    assert found["drift"] > 5


def test_the_test_of_stationarity_leaves_out_the_start_and_no_more(tmp_path):
    """The bowl relaxes within 2 / (lr G gamma), some 70 steps, of 400: the first tenths have to go."""
    loss, settings = NoisyBowl(curvature=0.1), SETTINGS.changed(n_beta=300.0, lr=8e-6, burn_in=0, draws=400)
    rows = draws(loss, settings, tmp_path)
    whole, rest = (estimate(rows, 300, GATES, test) for test in (False, True))
    assert whole["left_out"] == 0
    assert 40 <= rest["left_out"] <= 200
    truth = 200 * 30 / 330
    assert abs(rest["llc"] / truth - 1) < 0.05 < abs(whole["llc"] / truth - 1)
    assert stationary_from(np.random.default_rng(0).normal(size=(4, 100))) == 0


def test_too_noisy_where_the_draws_are_few(tmp_path):
    rows = draws(NoisyBowl(dimension=2, noise=20.0), SETTINGS.changed(draws=20), tmp_path)
    found = estimate(rows, 30, GATES.model_copy(update={"max_r_hat": 100}))
    assert found["status"] == "too noisy"
    assert found["llc_se"] > 0.2 * abs(found["llc"])


def test_diverged_where_the_loss_runs_away_and_stays_finite(tmp_path):
    found = judged(NoisyBowl(curvature=-20.0), SETTINGS.changed(n_beta=100.0, draws=40), tmp_path)
    assert found["status"] in ("diverged", "negative")
    found = judged(NoisyBowl(curvature=100.0, dimension=4000), SETTINGS.changed(gamma=10.0, n_beta=1.0), tmp_path)
    assert found["status"] == "diverged"
    assert "nats above the baseline" in found["reason"]


def test_without_control_chains_the_control_is_empty(tmp_path):
    loss = NoisyBowl(dimension=10)
    rows = sample(loss, np.zeros(64), SETTINGS, block(range(2), False), 1, StateStore(tmp_path, "digest", 1e9))
    assert np.isnan(estimate(rows, 30, GATES)["control"])


def test_the_control_shares_minibatches_and_noise_with_its_chain(tmp_path):
    rows = draws(NoisyBowl(), SETTINGS.changed(n_beta=1e-9), tmp_path, chains=2)
    by_kind = rows.pivot(index=["chain", "draw"], columns="kind", values="loss")
    assert np.allclose(by_kind["posterior"], by_kind["control"], rtol=1e-4)


def test_the_standard_error_covers_both_autocorrelation_and_the_spread_of_chains():
    random = np.random.default_rng(0)
    white = random.normal(size=(4, 100))
    assert diagnose(white).se == pytest.approx(1 / np.sqrt(400), rel=0.5)
    slow = np.apply_along_axis(lambda e: np.convolve(e, 0.9 ** np.arange(60))[:100], 1, random.normal(size=(4, 100)))
    assert diagnose(slow).se > 3 * slow.std() / np.sqrt(400)
    apart = white + np.array([[-3.0], [-1.0], [1.0], [3.0]])
    assert diagnose(apart).se >= apart.mean(axis=1).std(ddof=1) / 2
    assert diagnose(apart).r_hat > 1.5
