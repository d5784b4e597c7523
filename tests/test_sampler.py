"""The sampler against closed forms."""

import numpy as np
import pytest
import torch

from smdl.foundation.errors import StudyError
from smdl.llc.chains import sample
from smdl.llc.noise import normals
from smdl.llc.sampler import Walker, minibatch
from smdl.llc.settings import Sampler
from smdl.llc.state import StateStore


class Bowl:
    """L(w) = 1/2 sum c_i w_i^2, the same for every sequence; lambda = d/2."""

    def __init__(self, curvatures: torch.Tensor, weights: torch.Tensor):
        self.curvatures = curvatures
        self.parameters = [torch.nn.Parameter(weights)]
        self.size = 64

    def __call__(self, sequences: np.ndarray) -> torch.Tensor:
        return (0.5 * (self.curvatures * self.parameters[0] ** 2).sum()).expand(len(sequences))


def settings(**changes) -> Sampler:
    common = {"lr": 1e-3, "n_beta": 30.0, "gamma": 100.0, "alpha": 0.99, "eps_rms": 0.1, "batch_size": 4}
    return Sampler(**{**common, "burn_in": 500, "draws": 2000, "steps_between_draws": 1, **changes})


def kept(walker: Walker, n_beta: float, value) -> np.ndarray:
    steps = walker.walk(seed=1, chain=0, n_beta=n_beta)
    return np.array([value(walker, seen) for seen in steps if seen.step >= walker.settings.burn_in])


def test_the_stationary_variance_of_a_bowl():
    """var w_i = 1 / (n_beta c_i + gamma), up to a few per cent: the Euler scheme's error, and that of the missing
    correction term, which is small while the root of V is below eps_rms."""
    curvatures = torch.tensor([0.0, 0.03, 0.3]).repeat_interleave(400)
    walker = Walker(Bowl(curvatures, torch.zeros(1200)), settings(lr=3e-5, burn_in=1000))
    variance = kept(walker, 1000.0, lambda w, _: w.weights.view(3, 400).pow(2).mean(dim=1).numpy()).mean(axis=0)
    assert variance == pytest.approx(1 / (1000.0 * np.array([0.0, 0.03, 0.3]) + 100.0), rel=0.06)


def test_lambda_of_a_regular_model_is_half_its_dimension():
    walker = Walker(Bowl(torch.ones(200), torch.zeros(200)), settings(n_beta=1000.0, gamma=1.0, lr=2e-5, burn_in=2000))
    excess = kept(walker, 1000.0, lambda _, seen: seen.losses.mean().item())
    assert 1000.0 * excess.mean() == pytest.approx(100.0, rel=0.1)


def test_the_control_feels_the_localisation_alone():
    walker = Walker(Bowl(torch.full((1000,), 50.0), torch.zeros(1000)), settings())
    variance = kept(walker, 0.0, lambda w, _: w.weights.pow(2).mean().item()).mean()
    assert variance > 0.9 / 100.0


def test_the_loss_is_that_before_the_move_and_chains_share_their_randomness():
    walker = Walker(Bowl(torch.ones(10), torch.full((10,), 2.0)), settings())
    first = next(walker.walk(seed=1, chain=0, n_beta=30.0))
    assert first.losses.mean().item() == pytest.approx(20.0)
    assert first.distance == 0.0
    other = Walker(Bowl(torch.ones(10), torch.zeros(10)), settings())
    assert np.array_equal(first.sequences, next(other.walk(seed=1, chain=0, n_beta=0.0)).sequences)
    assert not np.array_equal(first.sequences, next(other.walk(seed=1, chain=1, n_beta=0.0)).sequences)


def test_the_update_follows_the_formula():
    """Three steps by hand, element by element, in double precision."""
    s = settings()
    loss = Bowl(torch.tensor([3.0]), torch.tensor([1.0]))
    walker = Walker(loss, s)
    walker.anchor.fill_(0.5)
    w, v = 1.0, 0.0
    for step, seen in zip(range(3), walker.walk(seed=7, chain=2, n_beta=30.0), strict=False):
        noise = normals(seed=7, chain=2, step=step, place=0, count=1, device=torch.device("cpu")).item()
        g = 3.0 * w
        v = s.alpha * v + (1 - s.alpha) * g * g
        preconditioner = 1 / (np.sqrt(v) + s.eps_rms)
        drift = 30.0 * g + s.gamma * (w - 0.5)
        w = w - s.lr / 2 * preconditioner * drift + np.sqrt(s.lr * preconditioner) * noise
        assert walker.weights.item() == pytest.approx(w, rel=1e-5)
        assert seen.step == step


def test_a_loss_that_is_no_longer_finite_is_one_clear_line():
    walker = Walker(Bowl(torch.ones(10), torch.full((10,), 1e30)), settings())
    with pytest.raises(StudyError, match=r"chain 0 left the finite losses at step 0 \(loss inf\): lower lr"):
        list(walker.walk(seed=1, chain=0, n_beta=30.0))


def test_minibatches_hold_no_sequence_twice():
    indices = minibatch(seed=1, chain=0, step=5, size=40, batch_size=32)
    assert len(set(indices)) == 32
    assert indices.max() < 40


def test_an_epoch_of_minibatches_holds_each_sequence_once_in_another_order_each_time():
    epochs = [np.concatenate([minibatch(1, 0, 5 * epoch + k, 40, 8) for k in range(5)]) for epoch in range(3)]
    assert all(sorted(epoch) == list(range(40)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert set(minibatch(1, 0, 0, 40, 8)) != set(minibatch(1, 1, 0, 40, 8)) != set(minibatch(2, 0, 0, 40, 8))


class Quadratics:
    """Per-sequence losses 1/2 |w - c_i|^2."""

    def __init__(self):
        self.parameters = [torch.nn.Parameter(torch.zeros(3))]
        self.centres = torch.from_numpy(np.random.default_rng(0).normal(size=(64, 3))).float()
        self.size = 64

    def __call__(self, sequences: np.ndarray) -> torch.Tensor:
        return 0.5 * ((self.parameters[0] - self.centres[sequences]) ** 2).sum(dim=1)


@pytest.mark.parametrize("at_once", [1, 3, 8, 100])
def test_a_minibatch_in_parts_moves_as_the_whole(at_once):
    def path(**changes) -> list[tuple[float, list[float]]]:
        walker = Walker(Quadratics(), settings(batch_size=8, burn_in=0, draws=20, **changes))
        return [(seen.distance, seen.losses.tolist()) for seen in walker.walk(seed=1, chain=0, n_beta=30.0)]

    for whole, parts in zip(path(), path(sequences_at_once=at_once), strict=True):
        assert parts[0] == pytest.approx(whole[0], rel=1e-5)
        assert parts[1] == pytest.approx(whole[1], rel=1e-5)


@pytest.mark.parametrize(("lr", "said"), [(1e-4, "0.05, in the median 0.0"), (3e-3, "warning: lr G gamma / 2")])
def test_the_log_tells_the_stability_after_the_first_steps(tmp_path, capfd, lr, said):
    """Half of the weights are flat, so that their G stays 1 / eps_rms; the others' gradients make theirs smaller."""
    loss = Bowl(torch.tensor([0.0] * 10 + [50.0] * 11), torch.ones(21))
    chosen = settings(lr=lr, burn_in=0, draws=20)
    sample(loss, np.zeros(64), chosen, [0, 1], 0, StateStore(tmp_path / "state", "digest", interval=600))
    log = capfd.readouterr().err
    assert said in log
    assert log.count("lr G gamma / 2") == 1
    assert ("lower llc.lr (now 0.003) or llc.gamma (now 100)" in log) == (lr == 3e-3)
