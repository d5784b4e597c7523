"""The theory: volumes, exponents, codes, clouds and cells against what is known in closed form."""

from math import ceil, log

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smdl.experiments.theory import cells, networks, runs
from smdl.experiments.theory.arithmetic import Decoder, Encoder
from smdl.experiments.theory.clouds import Walkers, tempered
from smdl.experiments.theory.codes import CODE_MODELS, Codebook, redundancies
from smdl.experiments.theory.fit import fit_exponent
from smdl.experiments.theory.models import MODELS
from smdl.experiments.theory.settings import Bits, Clouds, Networks, Redundancy, Volumes
from smdl.experiments.theory.splitting import log_volumes
from smdl.experiments.theory.tables import BITS, CLOUDS, REDUNDANCY, THEORY, VOLUMES
from smdl.llc.noise import normals
from smdl.llc.sampler import Walker
from smdl.llc.settings import Sampler

EXACT = [name for name, model in MODELS.items() if model.volume]


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("eps", [0.3, 0.01])
def test_exact_volume_equals_the_share_of_random_points(name, eps):
    model = MODELS[name]
    w = np.random.default_rng(0).uniform(model.low, model.high, (200_000, model.dimension))
    share = model.volume(eps)
    error = np.sqrt(share * (1 - share) / len(w))
    assert abs((model.values(w) <= eps).mean() - share) < 4.5 * error


@pytest.mark.parametrize("name", ["cross", "product"])
def test_splitting_meets_the_exact_volume(name):
    model, scales = MODELS[name], np.geomspace(1e-1, 1e-8, 5)
    runs_ = np.stack([log_volumes(model, scales, 400, 1, np.random.default_rng(i)) for i in range(6)])
    error = runs_.std(0, ddof=1) / np.sqrt(len(runs_))
    exact = np.log([model.volume(eps) for eps in scales])
    assert (np.abs(runs_.mean(0) - exact) < 5 * error + 0.02).all()
    assert runs_.std(0).max() < 0.6


@pytest.mark.parametrize("name", ["mixture", "rank0of1"])
def test_splitting_meets_plain_counting_where_there_is_no_integral(name):
    model, eps = MODELS[name], 3e-3
    w = np.random.default_rng(0).uniform(model.low, model.high, (400_000, model.dimension))
    counted = log((model.values(w) <= eps).mean())
    split = [log_volumes(model, np.array([eps]), 800, 1, np.random.default_rng(i))[0] for i in range(3)]
    assert abs(np.mean(split) - counted) < 0.15


@pytest.mark.parametrize("name", EXACT)
def test_exponents_of_exact_volumes(name):
    model, scales = MODELS[name], np.geomspace(1e-6, 1e-30, 25)
    curve = -np.log([model.volume(eps) for eps in scales])
    fit = fit_exponent(-np.log(scales), curve[None], 3, accumulating=False, confidence=0.95)
    assert fit.learning_coefficient == pytest.approx(model.learning_coefficient, rel=0.01)
    assert fit.multiplicity == model.multiplicity


@given(st.floats(0.2, 4), st.integers(1, 3), st.floats(0, 7), st.floats(-5, 5))
@settings(max_examples=20, deadline=None)
def test_fit_recovers_the_law(coefficient, multiplicity, shift, constant):
    logs = np.linspace(5, 60, 20)
    curve = coefficient * logs - (multiplicity - 1) * np.log(logs + shift) + constant
    fit = fit_exponent(logs, curve[None], 3, accumulating=False, confidence=0.95)
    assert fit.learning_coefficient == pytest.approx(coefficient, abs=1e-3)
    assert fit.multiplicity == multiplicity
    np.testing.assert_allclose(fit.curve(logs), curve, atol=1e-3)


@pytest.mark.parametrize("accumulating", [True, False])
def test_intervals_cover_the_truth_as_often_as_they_say(accumulating):
    rng = np.random.default_rng(1)
    logs = np.linspace(9, 32, 15)
    covered = 0
    for _ in range(40):
        noise = rng.normal(0, 0.08, (6, 15))
        noise = noise.cumsum(1) if accumulating else noise
        fit = fit_exponent(logs, 0.75 * logs + 1 + noise, 2, accumulating, confidence=0.9)
        covered += fit.low <= 0.75 <= fit.high
    # The interval also allows for bias, so it covers more often than 0.9; below 33 of 40 the odds are 1 in 20.
    assert covered >= 33


@settings(deadline=None)
@given(st.lists(st.tuples(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.integers(0, 5)), max_size=60))
def test_arithmetic_code_round_trip_and_length(message):
    alphabets = [[0, *np.cumsum(frequencies).tolist()] for frequencies, _ in message]
    symbols = [place % len(frequencies) for frequencies, place in message]
    encoder, ideal = Encoder(), 0.0
    for symbol, cumulative in zip(symbols, alphabets, strict=True):
        encoder.put(symbol, cumulative)
        ideal -= np.log2((cumulative[symbol + 1] - cumulative[symbol]) / cumulative[-1])
    bits = encoder.bits()
    assert ideal - 1e-6 <= len(bits) <= ideal + 2 + 1e-6
    # What follows in a stream must not matter: the code is prefix-free.
    for following in ("", "0", "1111", "0101"):
        decoder = Decoder(bits + following)
        assert [decoder.get(cumulative) for cumulative in alphabets] == symbols


@pytest.fixture(scope="module")
def books():
    return {name: Codebook(model, 14, seed=3) for name, model in CODE_MODELS.items()}


@pytest.mark.parametrize("name", CODE_MODELS)
@pytest.mark.parametrize("n", [1, 40, 600])
def test_decoder_gets_the_data_back(books, name, n):
    truth = CODE_MODELS[name].truth
    data = np.random.default_rng(n).choice(len(truth), n, p=truth)
    code = books[name].code(n)
    bits = code.encode(data)
    np.testing.assert_array_equal(code.decode(bits), data)
    _, totals = code.totals(np.bincount(data, minlength=len(truth))[None])
    assert len(bits) <= totals.min() / log(2) + 2.001


@pytest.mark.parametrize("name", CODE_MODELS)
@pytest.mark.parametrize("n", [10, 1000])
def test_hypothesis_code_obeys_kraft(books, name, n):
    code = books[name].code(n)
    assert np.exp(-code.lengths).sum() == pytest.approx(1)
    assert sum(2.0 ** -ceil(length / log(2) - 1e-9) for length in code.lengths) <= 1


@pytest.mark.parametrize("name", CODE_MODELS)
def test_a_cell_is_as_large_as_the_ball_of_the_theorem(books, name):
    """log of Vol(cell) and of V_p(1/n) around its hypothesis differ by O(1), here below 2 nats on average."""
    book, n = books[name], 200
    code = book.code(n)
    differences = []
    for index in np.random.default_rng(0).choice(len(code.keys), min(30, len(code.keys)), replace=False):
        p = book.p[code.hypothesis(index)]
        ball = ((p * np.log(p / book.p)).sum(1) <= 1 / n).mean()
        differences.append(log(ball) + code.lengths[index])
    assert abs(np.mean(differences)) < 2


@pytest.mark.parametrize("name", CODE_MODELS)
def test_redundancy_is_positive_and_the_regular_code_pays_for_singular_models(books, name):
    model, n = CODE_MODELS[name], 300
    counts = np.random.default_rng(0).multinomial(n, model.truth, 300)
    volume, regular = redundancies(books[name].code(n), counts)
    assert volume.mean() > 0
    singular = model.learning_coefficient < model.dimension / 2 or model.multiplicity > 1
    difference = regular.mean() - volume.mean()
    assert difference > 1 if singular else abs(difference) < 1


@pytest.mark.parametrize(("name", "largest"), [("coin", 1e5), ("pair_cubic", 1e7), ("pair_product", 1e5)])
def test_redundancy_grows_with_the_learning_coefficient(name, largest):
    model, sizes = CODE_MODELS[name], np.geomspace(30, largest, 8).astype(int)
    curves = []
    for seed in range(4):
        book = Codebook(model, 16, seed)
        rng = np.random.default_rng(seed)
        curves.append([redundancies(book.code(n), rng.multinomial(n, model.truth, 150))[0].mean() for n in sizes])
    logs = np.log(sizes)
    # At the known multiplicity; the shift of the logarithm is what so few sizes cannot tell.
    straight = np.array(curves) + (model.multiplicity - 1) * np.log(logs + 3)
    fit = fit_exponent(logs, straight, 1, accumulating=False, confidence=0.95)
    assert fit.learning_coefficient == pytest.approx(model.learning_coefficient, rel=0.15)


def test_walkers_move_as_chains_of_their_own():
    single = Sampler(lr=0.01, n_beta=50, gamma=2, alpha=0.9, eps_rms=0.3, batch_size=1, draws=4)
    loss = Walkers(MODELS["cross"].excess, np.array([0.5, -1.0]), 3)
    joint = Walker(loss, loss.settings(single))
    start = torch.tensor([0.5, -1.0], dtype=torch.float64)
    own, second = start.repeat(3, 1), torch.zeros(3, 2, dtype=torch.float64)
    for seen in joint.walk(7, 0, joint.settings.n_beta):
        leaves = own.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(MODELS["cross"].excess(leaves).sum(), leaves)
        second = single.alpha * second + (1 - single.alpha) * gradient.square()
        preconditioner = single.lr / (second.sqrt() + single.eps_rms)
        drift = single.n_beta * gradient + single.gamma * (own - start)
        kicks = normals(7, 0, seen.step, 0, 6, torch.device("cpu")).view(3, 2)
        own = own - preconditioner / 2 * drift + preconditioner.sqrt() * kicks
    torch.testing.assert_close(joint.weights.view(3, 2), own, rtol=1e-4, atol=1e-5)


def test_tempered_mean_of_a_quadratic():
    n_beta, gamma = 100.0, 2.0
    expected = sum(0.5 * 2 * n_beta * h / (2 * n_beta * h + gamma) for h in (1.0, 2.0))
    assert tempered(MODELS["ellipse"].excess, n_beta, gamma) == pytest.approx(expected, rel=1e-6)


def test_largest_cells_in_closed_form():
    scales, bound = np.array([1e-1, 1e-3, 1e-5]), np.full(2, 2.0)
    signs = cells.corners(2, 0)

    def found(search, name):
        return search(MODELS[name].excess, np.zeros(2), bound, scales, signs)

    root = np.sqrt(scales)
    ellipse = np.stack([root / np.sqrt(2), root / 2], 1)
    np.testing.assert_allclose(found(cells.largest_boxes, "ellipse"), ellipse, rtol=2e-3)
    cross = np.stack([np.full(3, 2.0), np.sqrt(root / 2)], 1)
    np.testing.assert_allclose(found(cells.largest_boxes, "cross"), cross, rtol=2e-3)
    cube = np.repeat(scales[:, None] ** (1 / 6), 2, 1)
    np.testing.assert_allclose(found(cells.largest_cubes, "cross"), cube, rtol=1e-6)


def test_boxes_stay_in_the_sublevel_set():
    model, scales = MODELS["rank1of2"], np.array([1e-2, 1e-4])
    bound = model.high - model.centre
    sides = cells.largest_boxes(model.excess, model.centre, bound, scales, cells.corners(8, 0))
    inside = np.random.default_rng(0).uniform(-1, 1, (20_000, 8))
    for eps, half in zip(scales, sides, strict=True):
        assert model.values(model.centre + inside * half).max() <= eps * (1 + 1e-9)
    cubes = cells.largest_cubes(model.excess, model.centre, bound, scales, cells.corners(8, 0))
    assert (cells.bits(sides, bound) <= cells.bits(cubes, bound) + 1e-6).all()


def test_trained_network_reaches_its_teacher():
    network = networks.train(3, 1, 48, 1e-12, seed=1)
    assert float(network.excess(torch.from_numpy(network.centre))) < 1e-12
    assert 2 <= network.half_rank <= 6
    bits = cells.critical_bits(network.excess, network.centre, np.array([1e-1, 1e-3, 1e-5]))
    assert (np.diff(bits) > 0).all()


def test_runs_give_the_declared_tables():
    scales = {"largest_eps": 1e-2, "smallest_eps": 1e-5, "points": 8}
    splitting = {**scales, "particles": 100, "replicates": 3}
    measured = Volumes(exact=scales, splitting=splitting)
    sampler = {
        "lr": 1e-3,
        "n_beta": 100,
        "gamma": 1,
        "eps_rms": 1,
        "burn_in": 50,
        "draws": 4,
        "steps_between_draws": 10,
    }
    sizes = {"smallest_n": 20, "largest_n": 2000, "sizes": 6}
    coded = Redundancy(**sizes, draws=20, replicates=3, log2_points=12, coded_n=30, coded_draws=1)
    drawn = Clouds(walkers=5, sampler=sampler)
    small = Networks(hidden=3, inputs=48, tolerance=1e-10, walkers=3, sampler={**sampler, "lr": 1e-6})
    volumes = runs.volumes("valley", measured, 1)
    redundancy = pd.DataFrame(runs.redundancy("pair_product", coded, 1))
    clouds = runs.clouds("valley", drawn, 1)
    rows = runs.theory(volumes, redundancy, clouds, drawn.sampler, largest_multiplicity=2, confidence=0.9)
    bits = runs.bits_of_model("valley", Bits(**scales), 1, volumes)
    network_bits, estimate = runs.bits_of_network(1, small, Bits(**scales), 0.9, 1)
    assert (redundancy["decoded"][(redundancy["n"] <= 30) & (redundancy["code"] == "redundancy")] == 1).all()
    for table, found in (
        (VOLUMES, volumes), (REDUNDANCY, redundancy), (CLOUDS, clouds), (THEORY, [*rows, estimate]),
        (BITS, [*bits, *network_bits]),
    ):  # fmt: skip
        assert len(table.conform(found))
    again = runs.volumes("valley", measured, 1)
    pd.testing.assert_frame_equal(again, volumes)
