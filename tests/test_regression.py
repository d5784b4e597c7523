"""The regression on the points that were read off the published figure, and on points made for the purpose."""

import numpy as np
import pandas as pd
import pytest

from smdl.analysis import gather
from smdl.analysis.correlation import partial, partial_r2
from smdl.analysis.points import in_window, marked, points
from smdl.analysis.regression import deming, fit, polynomial, regressions
from smdl.compression.settings import Headline
from smdl.figures.critical_bits import draw
from smdl.llc.settings import Gates, Sampler
from smdl.published import critical_bits
from smdl.report.summary import summary
from smdl.tables import empty
from smdl.tables.audit import AUDIT
from smdl.tables.study import CHECKPOINTS, CRITICAL, DRAWS, LLC, LOSSES, MANIFEST, POINTS, REGRESSIONS

GATES = Gates(max_excess=50, max_r_hat=1.5, max_drift=6, max_relative_se=0.3)
SAMPLERS = {("published", "m"): Sampler()}
WEIGHTS = pd.DataFrame({"model": "m", "step": np.arange(1, 9) * 100, "norm": np.arange(8) + 10.0})
HEADLINE = {"scheme": "quantize", "variant": "v", "epsilon": 0.3}
PUBLISHED = {"pythia-160m": (0.114, 0.978), "pythia-410m": (0.082, 0.977), "pythia-1.4b": (0.158, 0.979)}


@pytest.mark.parametrize("model", PUBLISHED)
def test_the_published_fits(model):
    points = critical_bits().query(f"model == {model!r} and in_fit == 1")
    found = fit(points["llc"].to_numpy(), points["critical_bits"].to_numpy())
    slope, r2 = PUBLISHED[model]
    assert round(found.slope, 3) == slope
    assert round(found.r2, 3) == r2


def test_over_all_checkpoints_the_published_fits_are_looser():
    r2 = [fit(g["llc"].to_numpy(), g["critical_bits"].to_numpy()).r2 for _, g in critical_bits().groupby("model")]
    assert [round(value, 2) for value in r2] == [0.74, 0.91, 0.82]


def test_too_few_points_give_no_fit():
    assert np.isnan(fit(np.array([1.0, 2.0]), np.array([1.0, 2.0])).r2)


def test_a_partial_correlation_is_the_same_from_pairs_and_from_residuals():
    x, y, z = np.random.default_rng(2).standard_normal((3, 12))
    xy, xz, yz = (np.corrcoef(*pair)[0, 1] for pair in ((x, y), (x, z), (y, z)))
    assert partial(xy, xz, yz) ** 2 == pytest.approx(partial_r2(x, y, z))


def test_partial_r2_is_that_of_the_nested_regressions():
    random = np.random.default_rng(0)
    given, own = random.normal(size=(2, 200))
    y = given + 0.5 * own + random.normal(size=200)

    def residual(*columns):
        design = np.column_stack([np.ones(200), *columns])
        return ((y - design @ np.linalg.lstsq(design, y, rcond=None)[0]) ** 2).sum()

    assert partial_r2(own, y, given) == pytest.approx(1 - residual(given, own) / residual(given))


def test_errors_in_x_flatten_the_line_and_not_the_line_with_errors_in_both():
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 2, (300, 40))
    x, y = truth + rng.normal(0, 1, truth.shape), 3 * truth + 1 + rng.normal(0, 2, truth.shape)
    slopes = np.array([[fit(*own).slope, deming(*own, ratio=4)] for own in zip(x, y, strict=True)])
    ordinary, both = slopes.mean(axis=0)
    assert ordinary == pytest.approx(3 * 4 / 5, abs=0.05)
    assert both == pytest.approx(3, abs=0.05)
    assert deming(y[0], x[0], ratio=1 / 4) == pytest.approx(1 / deming(x[0], y[0], ratio=4)), "x and y are alike"
    assert np.isnan([deming(np.arange(2.0), np.arange(2.0), 1), deming(np.arange(9.0), np.ones(9), 1)]).all()


@pytest.mark.parametrize("degree", [1, 2])
def test_a_polynomial_is_that_of_numpy_and_its_errors_are_those_of_points_that_move(degree):
    rng = np.random.default_rng(0)
    x = np.linspace(20, 60, 9)
    truth, x_se, y_se = 2 + 0.1 * x - 0.002 * x**2, np.full(9, 0.4), np.full(9, 0.02)
    found = polynomial(degree, x, truth, x_se, y_se)
    assert found.coefficients == pytest.approx(np.polyfit(x, truth, degree)[::-1])
    moved = [
        polynomial(degree, x + rng.normal(0, x_se), truth + rng.normal(0, y_se), x_se, y_se).coefficients
        for _ in range(2000)
    ]
    assert found.errors == pytest.approx(np.std(moved, axis=0), rel=0.1)


def test_a_bend_is_told_from_a_line_within_the_errors_of_the_points():
    critical, llc = study(["ok"] * 8)
    straight = fitted(critical, llc, {"m": [100, 800]}).iloc[0]
    assert abs(straight["curvature"]) < 1e-6
    bent = fitted(critical.assign(coordinate=np.sqrt(critical["coordinate"])), llc, {"m": [100, 800]}).iloc[0]
    assert bent["curvature"] < -0.0001
    assert bent["curvature_share"] > 0.9
    assert bent["curvature_se"] > 0
    assert bent[["norm_r2", "log_step_r2"]].between(0.9, 1).all()


def study(statuses):
    steps = np.arange(1, 9) * 100
    critical = pd.DataFrame(
        {"model": "m", "step": steps, "scheme": "quantize", "variant": "v", "epsilon": 0.3, "coordinate": steps / 100.0}
    ).assign(status="ok", unit="bits", coordinate_se=0.1, bits_per_parameter=4.0)
    llc = pd.DataFrame({"model": "m", "step": steps, "llc": steps / 10.0, "control": np.nan, "loss": 1.0 / steps})
    return critical, llc.assign(status=statuses, llc_se=1.0, setting="published")


def fitted(critical, llc, windows, headline=HEADLINE, admit=("ok",)):
    """The regressions of a study, by way of its points."""
    return regressions(
        points(critical, marked(llc, windows, admit), WEIGHTS, Headline(**headline), "published"), windows
    )


def test_what_is_not_admitted_is_left_out_and_counted():
    critical, llc = study(["negative", *["ok"] * 7])
    critical.loc[7, "coordinate"] = np.nan
    rows = fitted(critical, llc, {"m": [100, 700]}).set_index("window")
    assert rows.loc["config", ["n", "excluded"]].tolist() == [6, 1]
    assert rows.loc["all", ["n", "excluded"]].tolist() == [6, 2]
    assert rows["headline"].tolist() == [True, False]
    assert rows.loc["config", "slope"] == pytest.approx(0.1)
    assert np.isnan(rows.loc["config", "control_r2"])


def test_the_points_are_all_pairs_and_say_what_enters_a_regression():
    """A row per checkpoint, compressed or not; without a crossing or an admitted LLC it is not admitted."""
    critical, llc = study(["negative", *["ok"] * 7])
    critical.loc[7, "coordinate"] = np.nan
    own = marked(llc, {"m": [200, 800]}, ["ok"])
    found = POINTS.conform(points(critical.drop(index=3), own, WEIGHTS, Headline(**HEADLINE), "published"))
    assert found["step"].tolist() == llc["step"].tolist()
    assert found["admitted"].tolist() == [False, True, True, False, True, True, True, False]
    assert found["in_window"].tolist() == [False, *[True] * 7]
    assert found["status"].isna().tolist() == [step == 400 for step in found["step"]]
    assert found["headline"].all()
    assert not points(critical, own, WEIGHTS, Headline(**HEADLINE | {"epsilon": 0.5}), "published")["headline"].any()
    assert not points(critical, own, WEIGHTS, Headline(**HEADLINE), "fair")["headline"].any()


def test_every_setting_has_its_points_and_its_line():
    critical, llc = study(["ok"] * 8)
    both = pd.concat([llc, llc.assign(setting="fair", llc=llc["llc"] / 2)])
    rows = fitted(critical, both, {"m": [100, 800]}).set_index(["setting", "window"])
    assert rows.loc[("fair", "config"), "slope"] == pytest.approx(2 * rows.loc[("published", "config"), "slope"])
    assert rows["headline"].to_dict() == {
        ("published", "config"): True, ("published", "all"): False, ("fair", "config"): False, ("fair", "all"): False,
    }  # fmt: skip


def test_one_training_run_gives_a_line_and_a_rank_correlation_and_no_interval_and_no_p_value():
    critical, llc = study(["ok"] * 8)
    rows = REGRESSIONS.conform(fitted(critical, llc, {"m": [100, 800]}))
    assert rows[["slope", "r2", "spearman"]].notna().all(axis=None)
    assert (rows["spearman"] == 1).all()
    assert rows[["slope_low", "slope_high", "spearman_p"]].isna().all(axis=None)


def test_a_study_whose_checkpoints_are_all_left_out_has_its_tables():
    """No draws, no losses, no levels: a row per checkpoint with its status, and nothing that is fitted."""
    audit = pd.DataFrame({"model": "m", "step": [1, 2], "excluded": True, "reason": "same weights"})
    assert CHECKPOINTS.conform(gather.checkpoints(empty(MANIFEST), empty(LOSSES))).empty
    none = gather.llc(empty(DRAWS), empty(CHECKPOINTS), audit, SAMPLERS, GATES)
    found = LLC.conform(marked(none, {"m": [1, 2]}, ["ok"]))
    assert found[["step", "status", "reason", "chains"]].to_numpy().tolist() == [
        [1, "excluded", "same weights", 0],
        [2, "excluded", "same weights", 0],
    ]
    none = gather.llc(empty(DRAWS), empty(CHECKPOINTS), empty(AUDIT), SAMPLERS, GATES)
    assert LLC.conform(marked(none, {}, ["ok"])).empty
    assert REGRESSIONS.conform(fitted(empty(CRITICAL), found, {"m": [1, 2]})).empty


def test_without_a_window_or_without_rows_the_table_is_empty():
    critical, llc = study(["ok"] * 8)
    for own in ((critical, llc), (empty(CRITICAL), llc), (critical, empty(LLC)), (empty(CRITICAL), empty(LLC))):
        assert REGRESSIONS.conform(fitted(*own, {})).empty
    assert REGRESSIONS.conform(fitted(empty(CRITICAL), empty(LLC), {"m": [100, 800]})).empty
    assert "0 models" in summary(empty(CHECKPOINTS), empty(LLC), empty(REGRESSIONS))


def test_a_model_without_a_window_is_shown_but_has_no_line():
    parts = {name: study(["ok"] * 8) for name in ("with", "without")}
    critical, llc = (pd.concat([own[i].assign(model=name) for name, own in parts.items()]) for i in (0, 1))
    windows = {"with": [100, 700]}
    shown = points(critical, marked(llc, windows, ["ok"]), WEIGHTS, Headline(**HEADLINE), "published")
    rows = regressions(shown, windows)
    assert set(rows["model"]) == {"with"}
    assert in_window(llc, windows).groupby(llc["model"]).sum().to_dict() == {"with": 7, "without": 0}
    figure = draw(shown, rows)
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend[1] == "without: no line is fitted"
