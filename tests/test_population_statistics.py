"""The statistics of a population: small cases by hand, null cases, and a planted truth for each."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from smdl.analysis.population.granulated import granulated
from smdl.analysis.population.information import information
from smdl.analysis.population.pairs import agreement, coupled, real
from smdl.analysis.population.partial import kendall, partial, permutation_p, ranks
from smdl.analysis.population.regression import left_out_levels, mixed, slope_with_errors
from smdl.analysis.population.reliability import reliability
from smdl.analysis.population.resampling import Clusters, exchanges, summary

ONE_STRATUM = np.zeros


def sample(n: int) -> np.ndarray:
    return np.ones((1, n))


@pytest.mark.parametrize("rounded", [False, True], ids=["distinct", "tied"])
def test_tau_and_ranks_are_those_of_scipy_and_a_weight_is_a_repeated_row(rounded):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 40)).round(0 if rounded else 9)
    weights = rng.integers(0, 3, (3, 40)).astype(float)
    for row in weights:
        drawn = np.repeat(np.arange(40), row.astype(int))
        again = np.repeat(row[None], 1, axis=0)
        assert kendall(x[None], y[None], again)[0] == pytest.approx(stats.kendalltau(x[drawn], y[drawn]).statistic)
        # scipy's average rank of a value among the drawn ones.
        assert np.repeat(ranks(x, again)[0], row.astype(int)) == pytest.approx(stats.rankdata(x[drawn]))


def test_without_anything_held_fixed_partial_is_plain():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2, 60))
    found = partial(x, y, np.empty((60, 0)), ONE_STRATUM(60), sample(60))
    assert found.tau[0] == found.partial_tau[0] == pytest.approx(stats.kendalltau(x, y).statistic)
    assert found.partial_spearman[0] == pytest.approx(stats.spearmanr(x, y).statistic)


def test_partial_tau_is_nothing_where_both_follow_a_third_and_kendalls_own_is_not():
    rng = np.random.default_rng(2)
    own, classical = [], []
    for _ in range(40):
        z = rng.standard_normal(200)
        x, y = 0.9 * z + np.sqrt(1 - 0.81) * rng.standard_normal((2, 200))
        own.append(partial(x, y, z[:, None], ONE_STRATUM(200), sample(200)).partial_tau[0])
        xy, xz, yz = (stats.kendalltau(*pair).statistic for pair in ((x, y), (x, z), (y, z)))
        classical.append((xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2)))
    assert abs(np.mean(own)) < 0.02
    assert np.mean(classical) == pytest.approx(0.19, abs=0.03)


def test_partial_tau_of_a_gaussian_is_two_over_pi_asin_whatever_the_units():
    rng = np.random.default_rng(3)
    z, e = rng.standard_normal((2, 1500))
    x = z + e
    y = 2 * z + 0.5 * e + np.sqrt(1 - 0.25) * rng.standard_normal(1500)
    found = partial(np.exp(x), y**3, np.exp(3 * z)[:, None], ONE_STRATUM(1500), sample(1500))
    assert found.partial_tau[0] == pytest.approx(2 / np.pi * np.arcsin(0.5), abs=0.03)
    assert found.partial_spearman[0] == pytest.approx(0.48, abs=0.04)


def test_strata_take_out_what_differs_between_them():
    rng = np.random.default_rng(4)
    strata = np.repeat([0, 1, 2], 50)
    x, y = rng.standard_normal((2, 150)) + 5 * strata
    found = partial(x, y, np.empty((150, 0)), strata, sample(150))
    assert abs(found.partial_tau[0]) < 0.15
    assert stats.kendalltau(x, y).statistic > 0.5


def test_what_is_explained_wholly_or_does_not_vary_has_no_correlation():
    rng = np.random.default_rng(5)
    z, y = rng.standard_normal((2, 30))
    for x in (z, np.exp(z), np.ones(30)):
        found = partial(x, y, z[:, None], ONE_STRATUM(30), sample(30))
        assert np.isnan([found.partial_tau[0], found.partial_spearman[0]]).all()


def test_runs_are_exchanged_whole_and_within_strata():
    runs = np.array(["a", "a", "b", "b", "c", "c", "d"])
    strata = np.array([1, 2, 2, 1, 1, 2, 1])
    orders = exchanges(runs, strata, 200, np.random.default_rng(0))
    assert (strata[orders] == strata).all()
    assert (np.sort(orders, axis=1) == np.arange(7)).all()
    of_first, of_second = runs[orders[:, 0]], runs[orders[:, 1]]
    assert (of_first == of_second).all() and set(of_first) == {"a", "b", "c"}
    assert (orders[:, 6] == 6).all(), "no other run has its strata"


def test_permutation_p_is_uniform_under_the_null_even_where_checkpoints_of_a_run_go_together():
    rng = np.random.default_rng(6)
    runs, strata = np.repeat(np.arange(24), 3), np.tile(np.arange(3), 24)
    p = []
    for _ in range(200):
        z = rng.standard_normal(72)
        x, y = (z + rng.standard_normal(24)[runs] + 0.3 * rng.standard_normal(72) for _ in range(2))
        orders = exchanges(runs, strata, 99, rng)
        p.append(permutation_p(x, y, z[:, None], strata, orders))
    assert stats.kstest(p, "uniform").pvalue > 0.01
    alone = [
        permutation_p(x, y, z[:, None], strata, exchanges(np.arange(72), strata, 99, rng))
        for z, x, y in (
            (z, *(z + rng.standard_normal(24)[runs] + 0.3 * rng.standard_normal(72) for _ in range(2)))
            for z in rng.standard_normal((100, 72))
        )
    ]
    assert np.mean(np.array(alone) <= 0.05) > 0.15, "checkpoints exchanged one by one would find what is not there"


def test_a_cluster_is_drawn_whole_and_the_interval_covers():
    clusters = np.repeat(np.arange(5), 4)
    weights = Clusters(clusters, 50, np.random.default_rng(0)).weights(clusters)
    assert (weights[0] == 1).all() and (weights.sum(axis=1) == 20).all()
    assert (weights.reshape(51, 5, 4) == weights.reshape(51, 5, 4)[..., :1]).all()
    rng = np.random.default_rng(7)
    runs, held = np.repeat(np.arange(40), 2), 0
    for _ in range(60):
        x, y = (rng.standard_normal(40)[runs] + 0.3 * rng.standard_normal(80) for _ in range(2))
        weights = Clusters(runs, 200, rng).weights(runs)
        _, low, high = summary(partial(x, y, np.empty((80, 0)), ONE_STRATUM(80), weights).partial_tau)
        held += low <= 0 <= high
    assert 50 <= held <= 60, "about 95 of 100"


def population(**columns) -> pd.DataFrame:
    return pd.DataFrame({"stratum": "decayed 2", **columns})


# Point p: a base, two learning rates beside it, one width. Point q: a base and one learning rate.
ROWS = population(
    point=["p", "p", "p", "p", "q", "q"],
    kind=["base", "neighbour", "neighbour", "neighbour", "base", "neighbour"],
    factor=["", "lr", "lr", "width", "", "lr"],
)


def test_pairs_differ_in_one_factor():
    pairs = coupled(ROWS)
    found = set(pairs[["first", "second", "factor"]].itertuples(index=False, name=None))
    assert found == {(0, 1, "lr"), (0, 2, "lr"), (1, 2, "lr"), (0, 3, "width"), (4, 5, "lr")}
    assert pairs.groupby("group")["factor"].nunique().eq(1).all() and pairs["group"].nunique() == 3
    apart = coupled(ROWS.assign(stratum=["s", "t", "s", "s", "s", "t"]))
    assert set(apart[["first", "second"]].itertuples(index=False, name=None)) == {(0, 2), (0, 3)}
    assert coupled(ROWS.assign(kind="replicate")).empty


def test_granulated_tau_by_hand():
    x, y = np.array([0.0, 1, 2, 1, 0, 1]), np.array([0.0, 2, 1, 3, 1, 0])
    found = granulated(x, y, np.zeros(6), coupled(ROWS), sample(6))
    # lr at p: pairs (0,1), (0,2) agree, (1,2) does not: 1/3; at q: -1; width: 1.
    assert found.factors == ["lr", "width"]
    assert found.tau[:, 0] == pytest.approx([(1 / 3 - 1) / 2, 1])
    assert found.mean_tau[0] == pytest.approx(1 / 3)
    assert found.sign_error[:, 0] == pytest.approx([2 / 4, 0])
    assert found.worst_sign_error[0] == 1 / 2
    assert found.pairs == [4, 1] and found.groups == [2, 1]
    twice_p = granulated(x, y, np.zeros(6), coupled(ROWS), np.array([[2.0, 2, 2, 2, 1, 1]]))
    assert twice_p.tau[0, 0] == pytest.approx((2 / 3 - 1) / 3)


def test_a_pair_counts_by_how_sure_its_order_is():
    pairs = coupled(ROWS)
    y, y_se = np.array([0.0, 1, 0, 2, 0, 0.5]), np.array([0.6, 0.8, 0, np.nan, 0, 0])
    weight = dict(zip(pairs[["first", "second"]].itertuples(index=False, name=None), real(y, y_se, pairs), strict=True))
    assert weight[0, 1] == pytest.approx(2 * stats.norm.cdf(1) - 1)
    assert weight[0, 2] == 0, "a tie has no order"
    assert weight[4, 5] == 1, "no error, no doubt"
    x = np.array([0.0, -1, 0, 1, 0, 1])
    found = granulated(x, y, y_se, pairs, sample(6))
    # (0, 1) and (1, 2): x rises where y falls.
    wrong, right = weight[0, 1] + weight[1, 2], weight[4, 5]
    assert found.sign_error[0, 0] == pytest.approx(wrong / (wrong + right))


def test_a_missing_value_takes_its_pairs_away():
    x, y = np.array([0.0, np.nan, 2, 1, 0, 1]), np.array([0.0, 2, 1, 3, 1, 0])
    found = granulated(x, y, np.zeros(6), coupled(ROWS), sample(6))
    assert found.pairs == [2, 1] and found.tau[0, 0] == pytest.approx((1 - 1) / 2)
    assert np.isnan(agreement(x, y, coupled(ROWS))).sum() == 2


def test_information_by_hand():
    runs, strata = np.arange(4), np.zeros(4)
    y = np.array([0.0, 1, 2, 3])
    same = information(y, y, strata, runs, {})
    assert (same.value, same.given, same.pairs) == (1, (), 6)
    # Of six pairs four agree: I = ln 2 - H(1/3) over ln 2.
    x = np.array([1.0, 0, 3, 2])
    p = np.array([1 / 3, 2 / 3])
    assert information(x, y, strata, runs, {}).value == pytest.approx(1 + (p * np.log2(p)).sum())


def test_a_factor_that_decides_both_leaves_no_information_and_one_that_does_not_leaves_it():
    rng = np.random.default_rng(8)
    width = np.repeat([0, 1], 40)
    other = rng.integers(0, 2, 80)
    runs, strata = np.arange(80), np.zeros(80)
    x, y = (10 * width + rng.standard_normal(80) for _ in range(2))
    confounded = information(x, y, strata, runs, {"width": width, "other": other})
    assert information(x, y, strata, runs, {}).value > 0.15
    assert confounded.value < 0.05 and "width" in confounded.given
    caused = information(x, x + 0.3 * rng.standard_normal(80), strata, runs, {"width": width, "other": other})
    assert caused.value > 0.3


def test_pairs_of_one_run_or_of_two_strata_tell_nothing():
    y = np.arange(4.0)
    assert information(y, y, np.arange(4), np.arange(4), {}).pairs == 0
    assert np.isnan(information(y, y, np.zeros(4), np.zeros(4), {}).value)


def test_a_mixed_model_finds_the_slope_within_points_and_the_points_share():
    rng = np.random.default_rng(9)
    points, n = np.repeat(np.arange(30), 6), 180
    x, z = rng.standard_normal((2, n))
    y = 0.5 * x + z + rng.standard_normal(30)[points] + 0.5 * rng.standard_normal(n)
    found = mixed(x, y, z[:, None], np.zeros(n), points)
    spread = y.std()
    assert found.status == "ok"
    assert found.slope == pytest.approx(0.5 * x.std() / spread, abs=3 * found.slope_se)
    assert found.point_share == pytest.approx(1 / 1.25, abs=0.12)
    assert mixed(z, y, z[:, None], np.zeros(n), points).status == "no fit"


def test_errors_of_the_predictor_flatten_the_line_and_are_taken_off():
    rng = np.random.default_rng(10)
    n = 4000
    z = rng.standard_normal(n)
    truth = 0.7 * z + rng.standard_normal(n)
    y = truth + z + rng.standard_normal(n)
    seen = truth + 0.8 * rng.standard_normal(n)
    units = seen.std() / y.std()
    plain = slope_with_errors(seen, y, z[:, None], np.zeros(n), {}, sample(n))[0] / units
    right = slope_with_errors(seen, y, z[:, None], np.zeros(n), {0: np.full(n, 0.8)}, sample(n))[0] / units
    assert plain == pytest.approx(1 / 1.64, abs=0.05)
    assert right == pytest.approx(1, abs=0.08)
    # A noisy control leaves some of what it stands for to whatever else follows it.
    control = z + 0.8 * rng.standard_normal(n)
    follows, outcome = z + 0.5 * rng.standard_normal(n), z + 0.5 * rng.standard_normal(n)
    given, errors = control[:, None], {1: np.full(n, 0.8)}
    assert slope_with_errors(follows, outcome, given, np.zeros(n), {}, sample(n))[0] > 0.3
    assert abs(slope_with_errors(follows, outcome, given, np.zeros(n), errors, sample(n))[0]) < 0.1
    assert np.isnan(slope_with_errors(seen, y, z[:, None], np.zeros(n), {0: np.full(n, 5.0)}, sample(n))[0])


def test_a_left_out_level_is_foretold_better_where_the_predictor_tells_something():
    rng = np.random.default_rng(11)
    n, levels = 120, np.tile(np.arange(4), 30)
    x, z = rng.standard_normal((2, n))
    y = z + 0.75 * x + rng.standard_normal(n)
    found = left_out_levels(x, y, z[:, None], np.zeros(n), levels, sample(n))
    assert found.levels == 4 and found.gain[0] == pytest.approx(0.36, abs=0.12)
    nothing = left_out_levels(rng.standard_normal(n), y, z[:, None], np.zeros(n), levels, sample(n))
    assert nothing.gain[0] < 0.05
    assert np.isnan(left_out_levels(x, y, z[:, None], np.zeros(n), np.zeros(n), sample(n)).gain[0])


def test_the_error_of_a_left_out_level_by_hand():
    # Level 1 is foretold by the mean of level 0, and the other way round.
    y, levels = np.array([0.0, 0, 1, 1]), np.array([0, 0, 1, 1])
    found = left_out_levels(np.array([0.0, 1, 0, 1]), y, np.empty((4, 0)), np.zeros(4), levels, sample(4))
    assert found.without[0] == pytest.approx(4), "standardised, all are off by 2"


def test_reliability_is_the_share_that_is_no_noise():
    rng = np.random.default_rng(12)
    strata = np.repeat([0, 1], 500)
    truth = rng.standard_normal(1000)
    first, second = (truth + 10 * strata + rng.standard_normal(1000) / 2 for _ in range(2))
    assert reliability(first, second, strata, sample(1000))[0] == pytest.approx(1 / 1.25, abs=0.04)
    assert np.isnan(reliability(np.ones(1000), second, strata, sample(1000))[0])
