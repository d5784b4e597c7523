"""The sampler's modes, which must agree (compiled or plain, alone or stacked, whole or in parts), and its noise."""

import numpy as np
import pytest
import torch
from scipy import stats

from smdl.llc.noise import GROUP, normals, philox
from smdl.llc.sampler import Walker
from smdl.llc.settings import Memory, Sampler
from smdl.llc.update.compiled import compiled

CPU = torch.device("cpu")
SETTINGS = Sampler(
    lr=1e-3, n_beta=50.0, gamma=20.0, alpha=0.9, eps_rms=0.1, batch_size=8, burn_in=0, draws=25, steps_between_draws=1
)
NEEDS_COMPILER = pytest.mark.skipif(compiled() is None, reason="no C compiler is installed")
COMPILE = [False, pytest.param(True, marks=NEEDS_COMPILER)]


class Regression:
    """A small network on fixed data: two parameters whose sizes are no multiples of the noise's group."""

    size = 40

    def __init__(self, chains: int | None = None):
        random = np.random.default_rng(3)
        lead = () if chains is None else (chains,)

        def make(*shape: int) -> torch.Tensor:
            return torch.tensor(np.broadcast_to(random.normal(size=shape), lead + shape), dtype=torch.float32)

        self.parameters = [make(13, 7).requires_grad_(), make(1, 13).requires_grad_()]
        self.inputs = torch.tensor(random.normal(size=(self.size, 7)), dtype=torch.float32)
        self.targets = torch.tensor(random.normal(size=self.size), dtype=torch.float32)

    def __call__(self, sequences: np.ndarray) -> torch.Tensor:
        hidden = torch.tanh(self.inputs[sequences] @ self.parameters[0].mT)
        return ((hidden @ self.parameters[1].mT)[..., 0] - self.targets[sequences]) ** 2


def walk(walker: Walker, steps: int, chain: int = 2) -> torch.Tensor:
    losses = [seen.losses for seen, _ in zip(walker.walk(7, chain, walker.settings.n_beta), range(steps), strict=False)]
    return torch.stack(losses)


def test_philox_gives_the_published_numbers():
    # Random123, kat_vectors: philox4x32 10, counter and key of zeros, and of ones.
    zeros = philox(torch.tensor([0]), 0, 0, 0)
    assert [hex(int(word)) for word in zeros[:, 0]] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]
    ones = philox(torch.tensor([-1]), 2**32 - 1, 2**32 - 1, 2**64 - 1)
    assert [hex(int(word)) for word in ones[:, 0]] == ["0x408f276d", "0x41c83b0e", "0xa20bc7c6", "0x6d5451fd"]


def test_noise_is_standard_normal_and_independent_of_how_it_is_cut():
    whole = normals(1, 2, 3, 0, 200_000, CPU)
    assert stats.kstest(whole.numpy(), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(whole[:-1], whole[1:])[0, 1]) < 0.01
    torch.testing.assert_close(normals(1, 2, 3, 5 * GROUP, 100, CPU), whole[5 * GROUP :][:100], rtol=0, atol=0)
    for other in ((0, 2, 3), (1, 1, 3), (1, 2, 4)):
        assert abs(np.corrcoef(whole, normals(*other, 0, 200_000, CPU))[0, 1]) < 0.01


@NEEDS_COMPILER
def test_compiled_and_plain_update_walk_the_same_path():
    ours, plain = (Walker(Regression(), SETTINGS, compile=compile, control=True) for compile in (True, False))
    torch.testing.assert_close(walk(ours, 20), walk(plain, 20), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.weights, plain.weights, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.control, plain.control, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("compile", COMPILE)
def test_a_chain_taken_up_midway_repeats_itself_bit_for_bit(compile):
    walker = Walker(Regression(), SETTINGS, compile=compile)
    first = walk(walker, 10)
    weights, second_moment = walker.weights.clone(), walker.second_moment.clone()
    rest = [seen.losses for seen in walker.walk(7, 2, 50.0, start=10)]
    again = Walker(Regression(), SETTINGS, compile=compile)
    again.weights.copy_(weights)
    again.second_moment.copy_(second_moment)
    assert all(torch.equal(a, b.losses) for a, b in zip(rest, again.walk(7, 2, 50.0, start=10), strict=True))
    again.reset()
    assert torch.equal(walk(again, 10), first)


@pytest.mark.parametrize("compile", COMPILE)
def test_a_control_taken_along_does_not_move_the_chain(compile):
    alone, beside = (Walker(Regression(), SETTINGS, compile=compile, control=control) for control in (False, True))
    assert torch.equal(walk(alone, 20), walk(beside, 20))
    assert torch.equal(alone.weights, beside.weights)


@pytest.mark.parametrize("compile", COMPILE)
def test_the_control_is_a_chain_without_loss_that_has_the_chains_preconditioner(compile):
    """Where the gradient is everywhere the same, a chain with n_beta 0 has that preconditioner by itself."""

    class Slope:
        size = 8

        def __init__(self):
            self.parameters = [torch.zeros(100, requires_grad=True)]

        def __call__(self, sequences: np.ndarray) -> torch.Tensor:
            return self.parameters[0].sum().expand(len(sequences))

    beside = Walker(Slope(), SETTINGS, compile=compile, control=True)
    alone = Walker(Slope(), SETTINGS, compile=compile)
    # From the second step on: at the first the control is put elsewhere.
    own = [seen.control for seen in beside.walk(7, 2, 50.0, start=1)]
    for seen, control in zip(alone.walk(7, 2, 0.0, start=1), own, strict=True):
        torch.testing.assert_close(control, seen.losses, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(beside.control, alone.weights, rtol=1e-4, atol=1e-5)


def test_the_control_starts_at_a_draw_of_the_localisation_and_stays_one():
    class Flat:
        size = 8

        def __init__(self):
            self.parameters = [torch.zeros(20_000, requires_grad=True)]

        def __call__(self, sequences: np.ndarray) -> torch.Tensor:
            return 0 * self.parameters[0].sum().expand(len(sequences))

    walker = Walker(Flat(), SETTINGS.changed(draws=100), control=True)
    spreads = [walker.control.std().item() for _ in walker.walk(7, 2, 50.0)]
    assert spreads == pytest.approx([20**-0.5] * 100, rel=0.1)


def test_the_controls_losses_are_taken_at_draws_alone():
    walker = Walker(Regression(), SETTINGS.changed(burn_in=3, draws=4, steps_between_draws=2), control=True)
    seen = [step.control is not None for step in walker.walk(7, 2, 50.0)]
    assert seen == [False] * 3 + [True, False] * 4


def test_draws_without_a_chain_are_those_of_the_localisation_and_leave_the_walker_at_its_anchor():
    places = []

    class Watched(Regression):
        def __call__(self, sequences: np.ndarray) -> torch.Tensor:
            places.append(torch.cat([parameter.detach().flatten() for parameter in self.parameters]))
            return super().__call__(sequences)

    walker = Walker(Watched(), SETTINGS, control=True)
    before = walker.weights.clone()
    pairs = list(walker.localised(7, 2, 400, 5))
    away = torch.stack(places) - walker.anchor
    torch.testing.assert_close(away[::2], -away[1::2], rtol=1e-5, atol=1e-6)
    assert away[::2].std().item() == pytest.approx(20**-0.5, rel=0.02)
    assert [len(pair.sequences) for pair in pairs] == [5] * 400
    assert torch.equal(walker.weights, before)
    again = next(walker.localised(7, 2, 1, 5))
    assert torch.equal(again.losses, pairs[0].losses)


@pytest.mark.parametrize("compile", COMPILE)
def test_stacked_chains_walk_the_paths_they_walk_alone(compile):
    stack = Walker(Regression(chains=3), SETTINGS, chains=3, compile=compile)
    stacked = list(stack.walk_stack(7, [4, 0, 2], 50.0))
    alone = Walker(Regression(), SETTINGS, compile=compile)
    for row, chain in enumerate([4, 0, 2]):
        alone.reset()
        for together, single in zip(stacked, alone.walk(7, chain, 50.0), strict=True):
            assert np.array_equal(together.sequences[row], single.sequences)
            torch.testing.assert_close(together.losses[row], single.losses, rtol=1e-3, atol=1e-4)
            assert together.distances[row] == pytest.approx(single.distance, rel=1e-3, abs=1e-6)


def test_bfloat16_vectors_stay_near_the_exact_path():
    exact = Walker(Regression(), SETTINGS)
    rough = Walker(Regression(), SETTINGS, memory=Memory(anchor="bfloat16", second_moment="bfloat16"))
    assert rough.second_moment.dtype == rough.anchor.dtype == torch.bfloat16
    difference = (walk(exact, 15) - walk(rough, 15)).abs().mean()
    assert 0 < difference < 0.05 * walk(exact, 15).std()


def test_the_anchor_of_bfloat16_weights_is_exact_in_bfloat16():
    loss = Regression()
    for parameter in loss.parameters:
        parameter.data = parameter.data.bfloat16()
    loss.inputs = loss.inputs.bfloat16()
    walker = Walker(loss, SETTINGS)
    start = walker.weights.clone()
    walk(walker, 5)
    assert walker.anchor.dtype == torch.bfloat16
    assert walker.second_moment.dtype == torch.float32
    assert not torch.equal(walker.weights, start)
    walker.reset()
    assert torch.equal(walker.weights, start)


def test_distance_is_that_of_the_weights_before_the_move():
    walker = Walker(Regression(), SETTINGS)
    expected = 0.0
    for seen in walker.walk(7, 2, 50.0):
        assert seen.distance == pytest.approx(expected, rel=1e-4)
        expected = float((walker.weights - walker.anchor).norm())


@pytest.mark.parametrize("sequences_at_once", [None, 3])
@pytest.mark.parametrize("hidden", [False, True])
def test_a_fixed_preconditioner_is_the_mean_square_of_gradients_at_the_anchor_and_stays(hidden, sequences_at_once):
    """Also where parameters move within the backward pass, as those of large models do."""
    settings = SETTINGS.changed(preconditioner="fixed", sequences_at_once=sequences_at_once)
    loss = Regression()
    if hidden:
        loss.parameters[0].data = torch.zeros(16, 8)
        loss.parameters[0].data[:13, :7] = Regression().parameters[0].data
        loss.parameters[1].data = torch.nn.functional.pad(loss.parameters[1].data, (0, 3 + 48))
        loss.__class__ = type("Padded", (Regression,), {"__call__": _padded})
    walker = Walker(loss, settings)
    assert (walker._gradient is not None) == hidden
    squares = []
    for start in np.unique(np.linspace(0, 40 - 8, 32).astype(int)):
        own = Regression()
        own(np.arange(start, start + 8)).mean().backward()
        squares.append(torch.cat([parameter.grad.flatten() for parameter in own.parameters]) ** 2)
    expected = torch.stack(squares).mean(dim=0)
    seen = walker.second_moment[walker.second_moment > 0]
    torch.testing.assert_close(seen, expected, rtol=1e-4, atol=1e-7)
    before = walker.second_moment.clone()
    walk(walker, 5)
    walker.reset()
    assert torch.equal(walker.second_moment, before)


def _padded(self, sequences: np.ndarray) -> torch.Tensor:
    hidden = torch.tanh(self.inputs[sequences] @ self.parameters[0][:13, :7].mT)
    return ((hidden @ self.parameters[1][:, :13].mT)[..., 0] - self.targets[sequences]) ** 2
