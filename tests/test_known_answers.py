"""Known answers: the closed forms themselves, the models they belong to, and the sampler against a few of them."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import dblquad

from smdl.experiments.aoyagi import crossing, deep_linear, reduced_rank
from smdl.experiments.known_answers.cases import FAMILIES, Case, cases
from smdl.experiments.known_answers.measure import excess_losses, measure
from smdl.experiments.known_answers.models import Crossings, DeepLinear
from smdl.experiments.known_answers.summary import summary
from smdl.llc.settings import Gates, Sampler

widths = st.lists(st.integers(1, 12), min_size=2, max_size=6)


def test_aoyagi_equals_reduced_rank_regression_in_all_its_cases():
    seen = set()
    for m, h, n in np.ndindex(9, 9, 9):
        for r in range(min(m, h, n) + 2):
            inputs, hidden, outputs = m + 1, h + 1, n + 1
            if r > min(inputs, hidden, outputs):
                continue
            expected = reduced_rank(inputs, outputs, hidden, r)
            assert deep_linear((inputs, hidden, outputs), r) == expected
            balanced = inputs + outputs >= hidden + r and inputs + hidden >= outputs + r
            balanced = balanced and outputs + hidden >= inputs + r
            seen.add((balanced, (inputs + outputs + hidden + r) % 2))
    assert seen == {(True, 0), (True, 1), (False, 0), (False, 1)}


@pytest.mark.parametrize(
    ("widths", "rank", "expected"),
    [
        ((3, 4), 2, (6, 1)),  # one layer is a regular model: half its weights
        ((1, 1, 1), 0, (Fraction(1, 2), 2)),  # (w1 w2)^2
        ((1, 1, 1, 1), 0, (Fraction(1, 2), 3)),  # (w1 w2 w3)^2
        ((1, 1, 1), 1, (Fraction(1, 2), 1)),  # w1 w2 = 1, one equation
        (
            (1, 5, 1),
            0,
            (Fraction(1, 2), 1),
        ),  # the inner product of two vectors of 5, a quadric cone of rank 10: min(1/2, ...)
        ((2, 1, 1), 0, (Fraction(1, 2), 1)),  # (a^2 + b^2) c^2: c^2 alone decides
        ((2, 2, 2), 2, (2, 1)),  # of full rank: the four entries of the product are free
        ((2, 2, 2), 0, (Fraction(3, 2), 1)),
    ],
)
def test_aoyagi_on_cases_done_by_hand(widths, rank, expected):
    assert deep_linear(widths, rank) == expected


@given(widths, st.data())
def test_aoyagi_is_symmetric_bounded_and_grows_with_the_rank(widths, data):
    rank = data.draw(st.integers(0, min(widths)))
    lam, multiplicity = deep_linear(widths, rank)
    assert deep_linear(widths[::-1], rank) == (lam, multiplicity)
    inner = data.draw(st.permutations(widths[1:-1]))
    assert deep_linear([widths[0], *inner, widths[-1]], rank) == (lam, multiplicity)
    parameters = sum(a * b for a, b in pairwise(widths))
    assert 0 < lam <= Fraction(min(parameters, widths[0] * widths[-1]), 2)
    assert multiplicity >= 1
    if rank:
        assert deep_linear(widths, rank - 1)[0] <= lam


@pytest.mark.parametrize("factors", range(2, 9))
def test_aoyagi_contains_the_product_of_scalars(factors):
    assert deep_linear((1,) * (factors + 1), 0) == (Fraction(1, 2), factors)


def test_aoyagi_refuses_a_rank_that_the_network_cannot_have():
    with pytest.raises(ValueError, match="cannot have rank 3"):
        deep_linear((4, 2, 4), 3)


def test_crossings():
    assert crossing((1, 2)) == (Fraction(1, 4), 1)
    assert crossing((1, 1, 0)) == (Fraction(1, 2), 2)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(2, 8), min_size=2, max_size=5), st.data())
def test_deep_linear_models_are_true_at_their_weights_and_nowhere_near(widths, data):
    rank = data.draw(st.integers(0, min(widths)))
    model = DeepLinear(widths, rank, 32, 2, np.random.default_rng(0))
    sequences = np.arange(32)[None].repeat(2, axis=0)
    assert model(sequences).max() < 1e-8
    if rank:
        with torch.no_grad():
            model.parameters[0][1] *= 1.1
        losses = model(sequences).mean(dim=1)
        assert losses[0] < 1e-8 < 1e-4 < losses[1]
    product = torch.eye(widths[0])
    for weight, scale in zip(
        DeepLinear(widths, rank, 1, 1, np.random.default_rng(0)).parameters, model.scales, strict=True
    ):
        product = weight[0] * scale @ product
    singular = torch.linalg.svdvals(product.detach())
    torch.testing.assert_close(singular[:rank], torch.ones(rank), rtol=1e-4, atol=1e-4)
    assert (singular[rank:] < 1e-4).all()


def test_families_hold_what_the_issue_asks_for():
    drawn = cases("deep_linear", 64, 0)
    assert len({case.name for case in drawn}) >= 60
    assert min(case.parameters for case in drawn) < 100 < 8000 < max(case.parameters for case in drawn)
    assert any(case.name.startswith("w1^2 w2^4") for case in cases("crossings", 6, 0))
    for family in FAMILIES:
        for case in cases(family, 8, 0):
            model = case.build(2)
            assert sum(p.numel() for p in model.parameters) == 2 * case.parameters
        assert [c.name for c in cases(family, 8, 3)] == [c.name for c in cases(family, 8, 3)]


def sampler(**changed) -> Sampler:
    chosen = dict(lr=4e-5, n_beta=1000.0, gamma=1.0, alpha=0.99, eps_rms=1.0)
    chosen |= dict(batch_size=32, burn_in=200, draws=200, steps_between_draws=5)
    return Sampler(**chosen | changed)


def test_sampler_finds_half_the_weights_of_a_regular_model():
    model = Case(
        "", 200, Fraction(100), 1, lambda chains: DeepLinear((10, 20), 3, 256, chains, np.random.default_rng(0))
    )
    found = 1000 * excess_losses(model, sampler(), 4, seed=0).mean()
    assert found == pytest.approx(100, rel=0.06)


def test_sampler_finds_the_finite_temperature_mean_of_a_singular_model():
    """w1^2 w2^4 at n_beta 30, where the mean can be had by quadrature and differs from lambda."""
    n_beta, gamma = 30.0, 4.0

    def weight(a: float, b: float) -> float:
        return np.exp(-n_beta * a**2 * b**4 - gamma / 2 * (a * a + b * b))

    area = dblquad(weight, -3, 3, -3, 3)[0]
    mean = dblquad(lambda a, b: a**2 * b**4 * weight(a, b), -3, 3, -3, 3)[0] / area
    chosen = sampler(lr=0.002, n_beta=n_beta, gamma=gamma, batch_size=1, burn_in=1000, draws=1000)
    toys = Case("", 200, Fraction(1), 1, lambda chains: Crossings([[2, 4]] * 300, [1.0] * 300, chains))
    found = excess_losses(toys, chosen, 2, seed=0).mean() / 300
    assert found == pytest.approx(mean, rel=0.06)


@pytest.mark.parametrize(("factor", "status"), [(1.0, "ok"), (-1.0, "negative")])
def test_a_loss_of_many_terms_is_judged_by_its_own_scale(factor, status):
    """2,000 squares at n_beta 30 lie 33 nats above w*, as they should; where the loss falls away no scale helps."""
    squares = Case("squares", 2000, Fraction(1000), 1, lambda chains: Crossings([[2]] * 2000, [factor] * 2000, chains))
    chosen = sampler(lr=0.03, n_beta=30.0, gamma=0.01, eps_rms=10.0, batch_size=1, burn_in=200, draws=100)
    gates = Gates(max_excess=15, max_r_hat=1.5, max_drift=20, max_relative_se=0.2)
    (row,) = measure("monomials", [squares], chosen, 4, 0, gates)
    assert row["status"] == status
    if status == "ok":
        assert row["lambda_hat"] / 30 > gates.max_excess
        assert row["lambda_hat"] == pytest.approx(1000, rel=0.1)


def test_summary_counts_what_lies_near():
    import pandas as pd

    rows = pd.DataFrame(
        {
            "family": ["a", "a", "b"],
            "lambda_true": [1.0, 10.0, 2.0],
            "lambda_hat": [1.1, 5.0, 3.0],
            "se": [0.01, 0.1, 0.5],
            "status": ["ok", "ok", "not mixed"],
        }
    )
    a, b, every = summary(rows)
    assert (a["within"], b["within"], every["cases"], every["ok"]) == (0.5, 1.0, 3, 2)
    assert a["median_relative_error"] == pytest.approx(0.3)
