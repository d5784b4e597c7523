"""The table of rulers: correlations against scipy, what counts as a comparison, and a picture of it."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from smdl.figures import rulers_map as figure
from smdl.measures import measures
from smdl.rulers import ALL_MODELS, Bootstrap, corrected, partial_spearman, rulers, spearman
from smdl.tables.rulers import MEASURES, RULERS

QUICK = Bootstrap(resamples=200, seed=0)


def study(steps: int = 12) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two models; ``good`` foretells the level beyond the loss, ``echo`` is the loss again, ``size`` is a constant."""
    rng = np.random.default_rng(0)
    measured, critical = [], []
    for model, offset in (("one", 0.0), ("two", 5.0)):
        for step in range(steps):
            loss, own = -0.3 * step + rng.normal(), rng.normal()
            values = {"loss": loss, "good": own - 0.1 * loss, "echo": np.exp(loss), "size": 10 + offset}
            measured += [{"model": model, "step": step, "measure": m, "value": v} for m, v in values.items()]
            for epsilon in (0.3, 0.5):
                level = offset + 2 * own - 0.5 * loss + 0.1 * rng.normal()
                key = {"scheme": "quantize", "variant": "maximum", "epsilon": epsilon}
                critical.append({"model": model, "step": step, **key, "level": level})
    return pd.DataFrame(measured), pd.DataFrame(critical)


def test_the_table_has_a_row_for_every_pair_and_scope_and_conforms():
    table = RULERS.conform(rulers(*study(), QUICK))
    assert len(table) == 4 * 2 * 3
    assert set(table["scope"]) == {"one", "two", ALL_MODELS}


def test_figures_are_those_of_scipy():
    measured, critical = study()
    table = rulers(measured, critical, QUICK).set_index(["measure", "epsilon", "scope"])
    row = table.loc["good", 0.3, "one"]
    x = measured.query("model == 'one' and measure == 'good'")["value"].to_numpy()
    y = critical.query("model == 'one' and epsilon == 0.3")["level"].to_numpy()
    assert row["spearman"] == pytest.approx(stats.spearmanr(x, y).statistic)
    assert row["r2"] == pytest.approx(stats.pearsonr(x, y).statistic ** 2)
    assert row["p"] == pytest.approx(stats.spearmanr(x, y).pvalue)
    for name in ("spearman", "r2", "partial_given_loss"):
        assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]


def test_what_the_loss_explains_is_taken_away():
    table = rulers(*study(steps=40), QUICK).set_index(["measure", "epsilon", "scope"])
    assert table.loc["good", 0.3, "one"]["partial_given_loss"] > 0.8
    assert np.isnan(table.loc["echo", 0.3, "one"]["partial_given_loss"])
    assert np.isnan(table.loc["loss", 0.3, "one"]["partial_given_loss"])


def test_partial_correlation_is_that_of_the_residual_ranks():
    x, y, z = np.random.default_rng(1).normal(size=(3, 30)).cumsum(1)
    rx, ry, rz = (stats.rankdata(v) for v in (x, y, z))
    residual = [r - np.polyval(np.polyfit(rz, r, 1), rz) for r in (rx, ry)]
    assert partial_spearman(x, y, z) == pytest.approx(np.corrcoef(*residual)[0, 1])
    assert spearman(np.stack([x, y]), np.stack([y, y])).tolist() == pytest.approx(
        [stats.spearmanr(x, y).statistic, 1.0]
    )


def test_what_does_not_vary_or_is_missing_gives_no_figure():
    measured, critical = study()
    critical.loc[(critical["model"] == "two") & (critical["step"] > 2), "level"] = np.nan
    table = rulers(measured, critical, QUICK).set_index(["measure", "epsilon", "scope"])
    assert np.isnan(table.loc["size", 0.3, "one"]["spearman"])
    assert np.isfinite(table.loc["size", 0.3, ALL_MODELS]["spearman"])
    assert table.loc["good", 0.3, "two"]["n"] == 3
    assert np.isnan(table.loc["good", 0.3, "two"]["spearman"])
    assert table.loc["good", 0.3, ALL_MODELS]["n"] == 15


def test_more_comparisons_ask_for_smaller_p_values():
    assert corrected(np.array([0.01]))[0] == pytest.approx(0.01)
    many = corrected(np.array([0.01, np.nan, *[0.5] * 20]))
    assert many[0] > 0.5
    assert np.isnan(many[1])


def test_the_heat_map_shows_every_measure_and_scope():
    drawn = figure.draw(rulers(*study(), QUICK), headline={"epsilon": 0.3})
    panels = [axis for axis in drawn.axes if axis.get_title()]
    assert [axis.get_title() for axis in panels] == ["one", "two", ALL_MODELS]
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["loss", "good", "echo", "size"]
    # the constant within a model has no number, across models it has
    assert [len(axis.texts) for axis in panels] == [3, 3, 4]


def test_measures_come_from_every_table_that_is_there():
    here = {"model": "one", "step": 1}
    checkpoints = pd.DataFrame([{**here, "loss": 2.0, "norm": 3.0, "parameters": 10}])
    llc = pd.DataFrame([{**here, "llc": 5.0, "control": 1.0, "llc_minus_control": 4.0, "status": "ok"}])
    bare = measures(checkpoints, llc, admit=["ok"])
    assert set(bare["measure"]) == {"loss", "norm", "parameters", "llc", "llc control", "llc minus control"}
    assert "llc" not in set(measures(checkpoints, llc.assign(status="negative"), admit=["ok"])["measure"])
    whole = measures(
        checkpoints,
        llc,
        admit=["ok"],
        coding=pd.DataFrame([{**here, "code": "huffman", "levels": 16, "bits_per_parameter": 3.5}]),
        two_part=pd.DataFrame(
            [
                {**here, "code": "huffman", "choice": choice, "total_bits": 9.0}
                for choice in ("least total", "critical at 1")
            ]
        ),
        bits_back=pd.DataFrame([{**here, "weight_bits": 7.0, "total_bits": 8.0}]),
        proxies=pd.DataFrame([{**here, "proxy": "gzip_signs", "value": 1.1}]),
    )
    values = MEASURES.conform(whole).set_index("measure")["value"]
    assert values["bits a parameter, huffman at 16"] == 3.5
    assert values["two-part total, huffman"] == 9.0
    assert values["bits back"] == 7.0
    assert values["gzip_signs"] == 1.1
