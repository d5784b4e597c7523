"""The search for critical levels against full curves: known curves by the hundred, and real compressed models."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import small_models
from smdl.compression.critical import critical_level
from smdl.compression.curve import curve, point
from smdl.compression.levels import levels_of
from smdl.compression.loss import CompressionLoss, Decision, DeltaLoss, decided
from smdl.compression.registry import build
from smdl.compression.scheme import Axis, Tuned
from smdl.compression.schemes.quantize import Quantize
from smdl.compression.search import search
from smdl.compression.settings import Span
from smdl.compression.sweep import critical_rows, curve_rows
from smdl.models.loading import block_losses

TUNED = Tuned("m", low=0.01, high=1.0, least=1e-4, most=2.0)
BITS = Axis("n_q", "bits", logarithmic=True, finer=+1, whole=True)


@dataclass(frozen=True)
class Known:
    """A scheme whose compressed weights are the level itself, for `KnownLoss`."""

    tuned: Tuned | None = None
    random: bool = False
    axis = Axis("level", "levels", logarithmic=False, finer=-1)

    def compress(self, weights, level, seed, tuned):
        return level


class KnownLoss:
    """Delta loss from a list, in the place of a model's."""

    def __init__(self, values):
        self.values = values
        self.weights = None
        self.evaluations = 0

    def __call__(self, level, decision=None, begun=None):
        self.evaluations += 1
        return DeltaLoss(np.full(4, self.values[level]), 0.0, True)

    def settled(self, delta, decision):
        return True


curves = st.lists(st.floats(1e-4, 1.0), min_size=2, max_size=60).map(lambda rises: np.cumsum(rises).tolist())


def crossing(points, epsilon):
    points = sorted(points, key=lambda point: point.level)
    return critical_level([p.level for p in points], [p.delta.value for p in points], [0.1] * len(points), epsilon)


@given(curves, st.lists(st.floats(1e-3, 30), min_size=1, max_size=3, unique=True))
def test_on_a_rising_curve_the_search_finds_what_the_curve_has(values, epsilons):
    loss = KnownLoss(values)
    levels = range(len(values))
    found = search(loss, Known(), levels, [0], epsilons, error_rate=0.01)
    whole = curve(KnownLoss(values), Known(), levels, [0])
    for epsilon in epsilons:
        np.testing.assert_equal(vars(crossing(found, epsilon)), vars(crossing(whole, epsilon)))
    assert loss.evaluations <= len(values)
    assert len({point.level for point in found}) == len(found)


@given(st.lists(st.floats(-0.1, 3), min_size=2, max_size=60), st.floats(1e-3, 2))
def test_on_any_curve_the_search_ends_at_a_crossing_of_the_curve(values, epsilon):
    found = search(KnownLoss(values), Known(), range(len(values)), [0], [epsilon], error_rate=0.01)
    level = crossing(found, epsilon).coordinate
    if np.isfinite(level):
        below = min(int(np.floor(level)), len(values) - 2)
        assert min(values[below : below + 2]) <= epsilon <= max(values[below : below + 2]) + 1e-12


def test_where_the_finest_level_is_above_the_tolerance_the_search_finds_the_next_rise_that_it_knows_of():
    values = [0.6, 0.5, 0.55, 0.25, 0.2, 0.2, 0.25, 0.4, 0.8, 1.6]
    found = search(KnownLoss(values), Known(), range(len(values)), [0], [0.1, 0.3], error_rate=0.01)
    whole = curve(KnownLoss(values), Known(), range(len(values)), [0])
    assert crossing(found, 0.3) == crossing(whole, 0.3)
    assert crossing(found, 0.3).coordinate == pytest.approx(6 + 1 / 3)
    assert crossing(found, 0.3).status == "not monotone"


@pytest.mark.parametrize("slope", [0.05, 0.3, 1.0])
def test_on_a_smooth_curve_few_evaluations_are_enough(slope):
    values = np.exp(slope * (np.arange(60) - 33.3))
    loss = KnownLoss(values)
    search(loss, Known(), range(60), [0, 1, 2], [0.3, 0.5, 0.7], error_rate=0.01)
    assert loss.evaluations <= 9 * 4


class JaggedLoss:
    """Delta loss of a tuned value alone: a parabola in octaves around ``lowest``, with teeth."""

    weights = None

    def __init__(self, lowest=0.3):
        self.lowest = lowest
        self.evaluations = 0

    def __call__(self, tuned, decision=None):
        self.evaluations += 1
        octaves = np.log2(tuned / self.lowest)
        return DeltaLoss(np.full(4, 0.1 * octaves**2 + 0.02 * np.sin(40 * octaves)), 0.0, True)


@dataclass(frozen=True)
class KnownTuned(Known):
    """A scheme whose compressed weights are the tuned value, for `JaggedLoss`."""

    tuned: Tuned = TUNED

    def compress(self, weights, level, seed, tuned):
        return tuned


@pytest.mark.parametrize("start", [0.2, 0.3, 0.45])
def test_a_walk_ends_where_the_scan_of_the_whole_lattice_does(start):
    scanned, walked = JaggedLoss(), JaggedLoss()
    whole = point(scanned, KnownTuned(), 0, 0)
    near = point(walked, KnownTuned(), 0, 0, start)
    assert (near.tuned, near.delta.value) == (whole.tuned, whole.delta.value)
    assert whole.minimal and near.minimal
    assert not whole.at_edge
    assert whole.delta.value < min(JaggedLoss()(TUNED.at(place)).value for place in TUNED.inner)
    assert near.evaluations == walked.evaluations < scanned.evaluations


@pytest.mark.parametrize("lowest", [0.003, 0.0005, 1.4])
@pytest.mark.parametrize("start", [None, 0.02, 0.9])
def test_a_value_beyond_the_lattice_is_found_by_widening_it(lowest, start):
    found = point(JaggedLoss(lowest), KnownTuned(), 0, 0, start)
    assert not found.at_edge
    assert abs(np.log2(found.tuned / lowest)) < 0.5
    assert not TUNED.low <= found.tuned <= TUNED.high


@pytest.mark.parametrize(("lowest", "edge"), [(1e-6, TUNED.outer[-1]), (1e3, TUNED.outer[0])])
def test_a_value_beyond_the_widened_lattice_is_told(lowest, edge):
    found = point(JaggedLoss(lowest), KnownTuned(), 0, 0)
    assert found.at_edge
    assert found.tuned == TUNED.at(edge)


def test_a_value_inside_the_lattice_does_not_depend_on_what_lies_outside():
    """As long as the least value inside is no end, nothing beyond is looked at."""

    class Pitfalls(JaggedLoss):
        def __call__(self, tuned, decision=None):
            assert TUNED.at(TUNED.inner[-1]) <= tuned <= TUNED.high
            return super().__call__(tuned, decision)

    for lowest in (0.013, 0.1, 0.95):
        for start in (None, 0.02, 0.9):
            assert not point(Pitfalls(lowest), KnownTuned(), 0, 0, start).at_edge


def test_widening_ends_where_the_level_is_known_to_be_below():
    loss = JaggedLoss(1e-3)
    found = point(loss, KnownTuned(), 0, 0, 0.02, Decision(0.9, 0.01))
    assert found.delta.value <= 0.9
    assert 0.005 < found.tuned < TUNED.low
    assert not found.minimal


class BlocksLoss:
    """Delta loss of every block from a function of the tuned value, in the place of a model's."""

    def __init__(self, of_blocks):
        self.of_blocks = of_blocks
        self.weights = None
        self.evaluations = 0

    def __call__(self, tuned, decision=None):
        self.evaluations += 1
        return DeltaLoss(self.of_blocks(tuned), 0.0, True)


class TunedOnly(Known):
    """A scheme whose compressed weights are the tuned value itself."""

    def compress(self, weights, level, seed, tuned):
        return tuned


def test_each_half_of_the_blocks_is_judged_at_the_value_that_is_best_on_the_other():
    upper, lower = np.array([0.0, 1, 0, 1]), np.array([1.0, 0, 1, 0])
    found = point(BlocksLoss(lambda tuned: upper if tuned > 0.5 else lower), TunedOnly(TUNED), 1, 0)
    np.testing.assert_array_equal(found.crossfitted, np.ones(4))
    assert found.delta.value == 0.5
    assert found.se == pytest.approx(0.5)


def test_the_error_of_a_tuned_level_covers_the_choice_made_on_its_blocks():
    """All values are equally good, so the least of many means is below the truth, by more than its plain error says."""
    rng = np.random.default_rng(0)
    found = [point(BlocksLoss(lambda tuned: rng.normal(1, 1, 64)), TunedOnly(TUNED), 1, 0) for _ in range(200)]
    off = np.array([abs(one.delta.value - 1) for one in found])
    assert np.mean(off < 2 * np.array([one.delta.se for one in found])) < 0.7
    assert np.mean(off < 2 * np.array([one.se for one in found])) > 0.85


def test_without_a_tuned_value_the_error_is_that_of_the_blocks(case):
    weights, blocks, reference = case
    found = point(CompressionLoss(weights, blocks, reference, 8), Quantize(range="maximum"), 16, 0)
    assert found.crossfitted is None
    assert found.se == found.delta.se > 0


def test_a_decision_ends_a_walk_at_the_first_value_below():
    loss = JaggedLoss()
    found = point(loss, KnownTuned(), 0, 0, 0.3, Decision(0.1, 0.01))
    assert (found.evaluations, found.minimal) == (1, False)


def test_an_infinite_loss_is_only_another_level_above():
    values = [0.0, 0.1, 0.2, np.inf, np.inf, np.inf, np.inf]
    found = search(KnownLoss(values), Known(), range(7), [0], [0.3], error_rate=0.01)
    assert crossing(found, 0.3).coordinate == 2


def test_an_early_stop_is_wrong_no_oftener_than_the_error_rate():
    """At a delta loss just above the tolerance, the worst case, evaluations that call it below are counted."""
    random = np.random.default_rng(0)
    decision, wrong, trials = Decision(epsilon=0.5, error_rate=0.05), 0, 4000
    for _ in range(trials):
        blocks = random.normal(0.5, 0.2, size=128)
        looks = [blocks[:stop] for stop in (32, 64, 96)]
        stopped = next((seen for seen in looks if decided(seen, decision, looks=3)), None)
        wrong += stopped is not None and stopped.mean() <= 0.5
    assert wrong / trials < 0.05 + 3 * np.sqrt(0.05 / trials)
    assert wrong > 0


@pytest.fixture(scope="module")
def case():
    """Weights, loss on the evaluation blocks, and the reference of a model that is far enough into training."""
    weights = small_models.weights_of(small_models.trained())
    blocks = small_models.blocks_of("evaluation")
    reference = block_losses(weights.model, blocks, 16)
    return weights, blocks, reference


def test_an_evaluation_that_stopped_early_is_completed_to_the_same_numbers(case):
    weights, blocks, reference = case
    scheme = Quantize(range="maximum", scope="tensor", parameters="matrices")
    loss = CompressionLoss(weights, blocks, reference, 16)
    begun = loss(scheme.compress(weights, 3, 0, None), Decision(1e-3, 0.01))
    assert not begun.complete
    assert loss.blocks_seen == len(begun.differences) < len(blocks)
    completed = loss(scheme.compress(weights, 3, 0, None), begun=begun)
    assert loss.blocks_seen == len(blocks)
    np.testing.assert_array_equal(completed.differences, loss(scheme.compress(weights, 3, 0, None)).differences)


def test_the_model_is_as_before_and_dense_weights_count_in_full(case):
    weights, blocks, reference = case
    loss = CompressionLoss(weights, blocks, reference, 64)
    np.testing.assert_allclose(loss([]).differences, 0, atol=1e-6)
    loss(Quantize(range="maximum", scope="tensor", parameters="all").compress(weights, 4, 0, None))
    delta = loss([])
    np.testing.assert_allclose(delta.differences, 0, atol=1e-6)
    assert delta.bits == 32 * weights.elements


CASES = {
    "quantize": (
        {"range": "minimised", "scope": "tensor", "parameters": "matrices"},
        {"first": 2, "last": 128, "ratio": 1.2},
    ),
    "round": ({"group": 0, "parameters": "linear"}, {"first": 2, "last": 128, "ratio": 1.2}),
    "factorize": (
        {"weighting": "none", "skip_ends": 0, "stride": 1, "damping": 0.01},
        {"first": 0, "last": 1, "step": 0.05},
    ),
    "noise": ({"scale": "relative", "parameters": "all"}, {"first": 0.01, "last": 2, "ratio": 1.15}),
    "prune": ({"score": "magnitude", "scope": "tensor", "parameters": "linear"}, {"first": 0, "last": 1, "step": 0.05}),
}


@pytest.mark.parametrize("name", CASES)
def test_search_and_curve_agree_on_a_trained_model(case, name):
    weights, blocks, reference = case
    settings_, levels = CASES[name]
    scheme = build(name, settings_)
    levels = levels_of(Span(**levels) if isinstance(levels, dict) else levels, scheme.axis)
    seeds = [0, 1] if scheme.random else [0]
    # Rounding the linear maps alone does not take this model far.
    epsilons = [0.03, 0.06, 0.1] if name == "round" else [0.1, 0.3, 0.5]
    rows, evaluations = {}, {}
    for mode in ("curve", "search"):
        loss = CompressionLoss(weights, blocks, reference, 16)
        if mode == "curve":
            points = curve(loss, scheme, levels, seeds)
        else:
            points = search(loss, scheme, levels, seeds, epsilons, error_rate=0.01)
        rows[mode] = critical_rows(curve_rows(points, scheme.axis, weights.elements), epsilons)
        evaluations[mode] = loss.evaluations
        assert sum(point.evaluations for point in points) == loss.evaluations
    assert np.isfinite(rows["curve"]["coordinate"]).all()
    allowed = np.maximum(0.05 if scheme.axis.unit == "bits" else 0, 0.02 * rows["curve"]["coordinate"].abs())
    assert ((rows["search"]["coordinate"] - rows["curve"]["coordinate"]).abs() <= allowed).all()
    assert evaluations["search"] < 0.7 * evaluations["curve"]


def test_seeds_are_averaged_and_their_spread_counts():
    rows = pd.DataFrame(
        [
            {"seed": seed, "coordinate": x, "delta_loss": 0.1 * x + shift, "delta_loss_se": 0.01}
            for seed, shift in ((0, 0.0), (1, 0.1))
            for x in range(10)
        ]
    ).assign(unit="levels", bits_per_parameter=8.0, evaluations=1, tuned_at_edge=False)
    (found,) = critical_rows(rows, [0.45]).to_dict("records")
    assert found["coordinate"] == pytest.approx((4.5 + 3.5) / 2)
    assert found["coordinate_se"] == pytest.approx(np.sqrt(0.1**2 + 0.5 / 2))
    assert (found["seeds"], found["status"], found["evaluations"]) == (2, "ok", 20)


def test_a_crossing_beside_a_tuned_value_at_its_edge_says_so():
    rows = pd.DataFrame({"seed": 0, "coordinate": range(10), "delta_loss": np.arange(10) / 10, "delta_loss_se": 0.01})
    rows = rows.assign(unit="levels", bits_per_parameter=8.0, evaluations=1, tuned_at_edge=rows["coordinate"] == 5)
    statuses = critical_rows(rows, [0.35, 0.45, 0.55, 0.65]).set_index("epsilon")["status"]
    assert statuses.to_dict() == {0.35: "ok", 0.45: "tuned at edge", 0.55: "tuned at edge", 0.65: "ok"}


@given(st.integers(2, 50), st.integers(60, 5000), st.floats(1.05, 2))
@settings(max_examples=50)
def test_levels_run_from_the_finest_and_are_distinct(first, last, ratio):
    levels = levels_of(Span(first=first, last=last, ratio=ratio), BITS)
    assert levels == sorted(set(levels), reverse=True)
    assert all(isinstance(level, int) for level in levels)
    assert levels[-1] == first
    assert levels == levels_of(levels[::-1], BITS)
    coarser = levels_of(Span(first=0, last=1, step=0.1), replace(BITS, whole=False, finer=-1))
    assert coarser == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


def test_the_tuned_value_is_that_of_the_least_loss(case):
    weights, blocks, reference = case
    scheme = Quantize(range="minimised", scope="tensor", parameters="matrices")
    loss = CompressionLoss(weights, blocks, reference, 64)
    (found,) = curve(loss, scheme, [6], [0])
    with torch.no_grad():
        tried = [loss(scheme.compress(weights, 6, 0, clip)).value for clip in np.linspace(0.1, 1, 40)]
    assert found.delta.value <= min(tried) + 0.02
