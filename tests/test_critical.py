"""Critical levels on curves whose crossing is known."""

import math

import pytest

from smdl.compression.critical import critical_level

BITS = [6.0, 5.0, 4.0, 3.0, 2.0]


def test_the_crossing_is_interpolated_linearly():
    found = critical_level(BITS, [0.0, 0.1, 0.2, 0.6, 2.0], [0.01] * 5, epsilon=0.3)
    assert found.coordinate == pytest.approx(3.75)
    assert found.coordinate_se == pytest.approx(0.01 / 0.4)
    assert found.status == "ok"


def test_a_curve_that_never_reaches_the_tolerance():
    found = critical_level(BITS, [0.0, 0.1, 0.2, 0.25, 0.29], [0.01] * 5, epsilon=0.3)
    assert math.isnan(found.coordinate)
    assert found.status == "all below"


def test_a_curve_that_lies_above_the_tolerance():
    found = critical_level(BITS, [0.4, 0.5, 0.6, 0.7, 0.8], [0.01] * 5, epsilon=0.3)
    assert math.isnan(found.coordinate)
    assert found.status == "all above"


def test_a_curve_that_crosses_more_than_once_gives_its_finest_crossing_and_says_so():
    found = critical_level(BITS, [0.0, 0.4, 0.2, 0.6, 2.0], [0.01] * 5, epsilon=0.3)
    assert found.coordinate == pytest.approx(5.25)
    assert found.status == "not monotone"


@pytest.mark.parametrize(
    ("delta", "level", "status"),
    [
        # above the tolerance at the finest level, then below, then above again
        ([0.4, 0.1, 0.2, 0.6, 2.0], 3.75, "not monotone"),
        ([0.4, 0.5, 0.2, 0.4, 2.0], 3.5, "not monotone"),
        ([math.inf, 0.1, 0.2, 0.6, 2.0], 3.75, "not monotone"),
        # more than one crossing upwards: the first
        ([0.4, 0.2, 0.4, 0.1, 2.0], 4.5, "not monotone"),
        ([0.1, 0.2, 0.4, 0.1, 2.0], 4.5, "not monotone"),
        ([0.1, 0.4, 0.1, 0.1, 0.1], 5 + 1 / 3, "not monotone"),
        # it falls through the tolerance and never rises through it: no level is critical
        ([0.4, 0.1, 0.1, 0.2, 0.2], math.nan, "not monotone"),
        ([0.4, 0.4, 0.4, 0.4, 0.2], math.nan, "not monotone"),
    ],
)
def test_a_curve_that_is_not_monotone_gives_its_first_rise_through_the_tolerance(delta, level, status):
    found = critical_level(BITS, delta, [0.01] * 5, epsilon=0.3)
    assert found.coordinate == pytest.approx(level, nan_ok=True)
    assert math.isfinite(found.coordinate_se) == math.isfinite(level)
    assert found.status == status


def test_an_infinite_loss_brackets_the_crossing():
    found = critical_level(BITS, [0.0, 0.1, math.inf, math.inf, math.inf], [0.01] * 5, epsilon=0.3)
    assert (found.coordinate, found.coordinate_se) == (5.0, 1.0)
