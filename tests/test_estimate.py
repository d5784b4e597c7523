"""The estimate, its error and its status, each status provoked by a real chain."""

from tempfile import mkdtemp

import numpy as np
import pandas as pd
import pytest
import torch

from smdl.llc.chains import recorded, sample
from smdl.llc.diagnostics import diagnose
from smdl.llc.estimate import adjusted, estimate, regime, saturation, stationary_from
from smdl.llc.sampler import Step
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
    return sample(loss, baseline, settings, range(chains), 1, StateStore(mkdtemp(dir=folder), "digest", 1e9))


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
    assert found["llc_minus_control"] == pytest.approx(found["llc"] - found["control"])
    # All directions have one curvature: saturation is n_beta c / (n_beta c + gamma) itself.
    assert abs(found["saturation"] - 30 / 330) < 4 * found["saturation_se"] + 0.005
    assert found["regime"] == "trace"
    assert found["llc_minus_control_se"] < np.hypot(found["llc_se"], found["control_se"]), "draws are paired"


def quadratic(curvatures: np.ndarray, n_beta: float, gamma: float, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Excess losses of independent draws from a quadratic well, with noise of minibatches, and that noise's error."""
    rng = np.random.default_rng(0)
    w = rng.standard_normal((4, 2000, len(curvatures))) / np.sqrt(n_beta * curvatures + gamma)
    excess = (0.5 * curvatures * w**2).sum(axis=-1)
    return excess + noise * rng.standard_normal(excess.shape), np.full_like(excess, noise)


@pytest.mark.parametrize(("n_beta", "name"), [(1, "trace"), (30, "mixed"), (1e5, "dimension")])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_saturation_of_quadratic_wells_is_their_formula(n_beta, name, noise):
    curvatures, gamma = np.geomspace(0.01, 100, 200), 300.0
    p = n_beta * curvatures / (n_beta * curvatures + gamma)
    found = saturation(*quadratic(curvatures, n_beta, gamma, noise / n_beta), n_beta)
    true = (p**2).sum() / p.sum()
    assert abs(found["saturation"] - true) < 4 * found["saturation_se"]
    assert found["saturation_se"] < 0.1 * true
    assert abs(found["llc_variance"] - (p**2).sum() / 2) < 4 * found["llc_variance_se"]
    assert found["regime"] == regime(true) == name


def test_the_noise_of_the_minibatch_is_taken_off():
    excess, noise = quadratic(np.ones(50), 30, 300, noise=1.0)
    assert saturation(excess, 0 * noise, 30)["saturation"] > 5
    assert abs(saturation(excess, noise, 30)["saturation"] - 30 / 330) < 0.5


def test_where_the_noise_is_not_known_there_is_no_saturation():
    excess, noise = quadratic(np.ones(50), 30, 300)
    found = saturation(excess, noise * np.nan, 30)
    assert np.isnan([found["saturation"], found["saturation_se"], found["llc_variance_se"]]).all()
    assert found["regime"] == ""


def test_the_error_of_a_draw_is_that_of_a_minibatch_without_replacement():
    rng = np.random.default_rng(0)
    losses, baseline = rng.normal(3, 1, 40), rng.normal(2, 1, 40)
    chosen = [rng.choice(40, 10, replace=False) for _ in range(4000)]
    seen = [recorded(Step(0, batch, torch.from_numpy(losses[batch]), 0.5), baseline) for batch in chosen]
    differences = [loss - own for loss, own, _, _ in seen]
    assert np.mean([error**2 for _, _, error, _ in seen]) == pytest.approx(np.var(differences), rel=0.1)
    everything = np.arange(40)
    assert recorded(Step(0, everything, torch.from_numpy(losses), 0.5), baseline)[2] == 0
    assert np.isnan(recorded(Step(0, everything[:1], torch.from_numpy(losses[:1]), 0.5), baseline)[2])


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
    assert abs(rest["llc_plain"] / truth - 1) < 0.05 < abs(whole["llc_plain"] / truth - 1)
    assert stationary_from(np.random.default_rng(0).normal(size=(4, 100))) == 0


def test_too_noisy_where_the_draws_are_few(tmp_path):
    rows = draws(NoisyBowl(dimension=10, noise=20.0), SETTINGS.changed(draws=20), tmp_path)
    found = estimate(rows, 30, GATES.model_copy(update={"max_r_hat": 100}))
    assert found["status"] == "too noisy"
    assert found["llc_se"] > 0.2 * abs(found["llc"])


def test_diverged_where_the_loss_runs_away_and_stays_finite(tmp_path):
    found = judged(NoisyBowl(curvature=-20.0), SETTINGS.changed(n_beta=100.0, draws=40), tmp_path)
    assert found["status"] in ("diverged", "negative")
    found = judged(NoisyBowl(curvature=100.0, dimension=4000), SETTINGS.changed(gamma=10.0, n_beta=1.0), tmp_path)
    assert found["status"] == "diverged"
    assert "nats above the baseline" in found["reason"]


def test_without_a_control_its_columns_are_empty_and_the_estimate_is_the_plain_one(tmp_path):
    loss = NoisyBowl(dimension=10)
    rows = sample(loss, np.zeros(64), SETTINGS, range(2), 1, StateStore(tmp_path, "digest", 1e9), control=False)
    found = estimate(rows, 30, GATES)
    assert np.isnan([found["control"], found["llc_minus_control"], found["control_weight"]]).all()
    assert (found["llc"], found["llc_se"]) == (found["llc_plain"], found["llc_plain_se"])


def test_the_control_shares_minibatches_and_noise_with_its_chain(tmp_path):
    """Without the loss they are soon one, wherever they started; the control is recorded from the first draw on."""
    rows = draws(NoisyBowl(noise=1.0), SETTINGS.changed(n_beta=1e-9), tmp_path, chains=2)
    by_kind = rows[rows["draw"] >= 0].pivot(index=["chain", "draw"], columns="kind", values=["loss", "baseline"])
    assert np.corrcoef(by_kind["loss"]["posterior"], by_kind["loss"]["control"])[0, 1] > 0.99
    assert by_kind["baseline"]["posterior"].equals(by_kind["baseline"]["control"])
    assert not (rows["kind"] != "posterior")[rows["draw"] < 0].any()


def test_the_control_is_that_of_the_localisation_by_its_formula(tmp_path):
    """n_beta E[L] under N(w*, 1/gamma) is n_beta tr H / (2 gamma); the slopes cancel within a pair."""
    found = judged(NoisyBowl(curvature=2.0, noise=3.0), SETTINGS.changed(draws=200), tmp_path)
    truth = 30 * 400 * 2.0 / (2 * 300)
    assert abs(found["control"] - truth) < 4 * found["control_se"] < 0.02 * truth
    assert found["control_chain"] == pytest.approx(truth, abs=4 * found["control_chain_se"] + 0.1 * truth)


def coupled(rng: np.random.Generator, draws: int = 60, start: float = 0.0) -> tuple[np.ndarray, ...]:
    """Four chains about 2, their controls about 3 with much the same noise, and pairs about 3; all autocorrelated."""
    noise = rng.standard_normal((2, 4, draws))
    mixed = np.stack([noise[0], 0.9 * noise[0] + np.sqrt(1 - 0.81) * noise[1]])
    walk = np.empty_like(mixed)
    state = np.full((2, 4), start)
    for draw in range(draws):
        state = 0.8 * state + 0.6 * mixed[:, :, draw]
        walk[:, :, draw] = state
    return 2 + walk[0], 3 + walk[1], 3 + rng.standard_normal((4, draws))


def test_the_control_variate_is_right_and_its_error_covers_it():
    rng = np.random.default_rng(0)
    found = [(adjusted(*coupled(rng), 10), 10 * diagnose(coupled(rng)[0]).se) for _ in range(200)]
    errors = np.array([its["llc"] - 20 for its, _ in found])
    promised = np.array([its["llc_se"] for its, _ in found])
    plain = np.array([se for _, se in found])
    assert abs(errors.mean()) < 4 * errors.std() / np.sqrt(200)
    assert 0.7 < promised.mean() / errors.std() < 1.6
    assert promised.mean() < 0.7 * plain.mean()
    differences = np.array([its["llc_minus_control"] + 10 for its, _ in found])
    assert 0.7 < np.mean([its["llc_minus_control_se"] for its, _ in found]) / differences.std() < 1.6


def test_a_control_that_the_chain_does_not_follow_adds_neither_bias_nor_noise(tmp_path):
    """The localisation forgets its start within 2,000 steps, the loss within 20: the control stays where it began."""
    settings = Sampler(lr=1e-3, n_beta=100, gamma=1, eps_rms=1, batch_size=4, burn_in=100, draws=200)
    found = judged(NoisyBowl(dimension=50), settings, tmp_path)
    assert abs(found["llc"] - 25 * 100 / 101) < 4 * found["llc_se"] < 5
    assert found["llc_se"] < 1.3 * found["llc_plain_se"]
    assert found["control"] == pytest.approx(100 * 50 / 2, rel=0.1)


def test_a_control_that_never_moves_changes_nothing():
    excess = np.random.default_rng(0).normal(1, 1, (4, 50))
    found = adjusted(excess, np.zeros((4, 50)), np.zeros((4, 50)), 10)
    assert found["llc"] == pytest.approx(10 * excess.mean())
    assert found["control_weight"] == 0


def test_the_standard_error_covers_both_autocorrelation_and_the_spread_of_chains():
    random = np.random.default_rng(0)
    white = random.normal(size=(4, 100))
    assert diagnose(white).se == pytest.approx(1 / np.sqrt(400), rel=0.5)
    slow = np.apply_along_axis(lambda e: np.convolve(e, 0.9 ** np.arange(60))[:100], 1, random.normal(size=(4, 100)))
    assert diagnose(slow).se > 3 * slow.std() / np.sqrt(400)
    apart = white + np.array([[-3.0], [-1.0], [1.0], [3.0]])
    assert diagnose(apart).se >= apart.mean(axis=1).std(ddof=1) / 2
    assert diagnose(apart).r_hat > 1.5
