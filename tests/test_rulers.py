"""The table of rulers: correlations against scipy, what counts as a comparison, and a picture of it."""

import hashlib
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

import small_models
from smdl.analysis.permutation import orders, p_values
from smdl.analysis.rulers import ALL_MODELS, FEWEST_MODELS, Bootstrap, corrected, partial_spearman, rulers, spearman
from smdl.compression.registry import SCHEMES
from smdl.corpus.blocks import Split, save_blocks, split_rows
from smdl.figures import rulers_map as figure
from smdl.foundation.errors import StudyError
from smdl.models.checkpoint import Checkpoint
from smdl.models.loading import block_losses, load, tensor_manifest
from smdl.models.shape import Shape
from smdl.rulers.curvature import NAMES as CURVATURES
from smdl.rulers.registry import GATHERED, RULERS, measures
from smdl.rulers.ruler import Curve
from smdl.study.tables import declared
from smdl.tables import Table, empty, write_table
from smdl.tables.rulers import MEASURES
from smdl.tables.rulers import RULERS as COMPARED
from smdl.tables.study import CORPUS, CRITICAL, LOSSES, MANIFEST
from workflow import small_config

SAMPLED = {"lr": 1e-4, "n_beta": 30.0, "gamma": 300.0, "status": "ok"}
QUICK = Bootstrap(resamples=200, seed=0)
NAMES = ("one", "two", "three", "four", "five", "six")
UNCERTAIN = ["p", "p_corrected", *(f"{name}_{end}" for name in ("spearman", "r2") for end in ("low", "high"))]


def study(steps: int = 12, models: int = 2) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Models; ``good`` foretells the level beyond the loss, ``echo`` is the loss again, ``size`` is a constant."""
    rng = np.random.default_rng(0)
    measured, critical = [], []
    for model, offset in zip(NAMES[:models], 5.0 * np.arange(models), strict=True):
        for step in range(steps):
            loss, own = -0.3 * step + rng.normal(), rng.normal()
            values = {"loss": loss, "good": own - 0.1 * loss, "echo": np.exp(loss), "size": 10 + offset}
            measured += [{"model": model, "step": step, "measure": m, "value": v} for m, v in values.items()]
            for epsilon in (0.3, 0.5):
                level = offset + 2 * own - 0.5 * loss + 0.1 * rng.normal()
                key = {"scheme": "quantize", "variant": "maximum", "epsilon": epsilon}
                critical.append({"model": model, "step": step, **key, "coordinate": level})
    return pd.DataFrame(measured).assign(made_with=""), pd.DataFrame(critical)


def test_the_table_has_a_row_for_every_pair_and_scope_and_conforms():
    table = COMPARED.conform(rulers(*study(), QUICK))
    assert len(table) == 4 * 2 * 3
    assert set(table["scope"]) == {"one", "two", ALL_MODELS}


def test_figures_are_those_of_scipy():
    measured, critical = study()
    table = rulers(measured, critical, QUICK).set_index(["measure", "epsilon", "scope"])
    row = table.loc["good", 0.3, "one"]
    x = measured.query("model == 'one' and measure == 'good'")["value"].to_numpy()
    y = critical.query("model == 'one' and epsilon == 0.3")["coordinate"].to_numpy()
    assert row["spearman"] == pytest.approx(stats.spearmanr(x, y).statistic)
    assert row["r2"] == pytest.approx(stats.pearsonr(x, y).statistic ** 2)


def test_a_training_run_has_no_interval_and_no_p_value_and_nor_have_few_models():
    table = rulers(*study(models=FEWEST_MODELS - 1), QUICK)
    assert np.isfinite(table.loc[table["measure"] == "good", "spearman"]).all()
    assert table[[*UNCERTAIN, "partial_given_loss_low", "partial_given_loss_high"]].isna().all(axis=None)


def test_across_models_the_models_are_resampled_and_permuted():
    measured, critical = study(models=6)
    table = rulers(measured, critical, QUICK).set_index(["measure", "epsilon", "scope"])
    assert table.drop(index=ALL_MODELS, level="scope")[UNCERTAIN].isna().all(axis=None)
    row = table.loc["good", 0.3, ALL_MODELS]
    for name in ("spearman", "r2", "partial_given_loss"):
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
    means = [
        rows.groupby("model", sort=False)[value].mean().to_numpy()
        for rows, value in (
            (measured.query("measure == 'good'"), "value"),
            (critical.query("epsilon == 0.3"), "coordinate"),
        )
    ]
    exact = stats.permutation_test(
        (means[0],), lambda x: stats.spearmanr(x, means[1]).statistic, permutation_type="pairings"
    )
    assert row["p"] == pytest.approx(exact.pvalue)


def test_resampled_models_give_what_their_checkpoints_repeated_would():
    """Models of unequal length; a draw in which a model stands twice ranks its checkpoints twice."""
    measured, critical = study(steps=5, models=6)
    critical = critical[~((critical["model"] == "two") & (critical["step"] > 2))]
    x = measured.query("measure == 'good'").set_index(["model", "step"])["value"]
    y = critical.query("epsilon == 0.3").set_index(["model", "step"])["coordinate"]
    random = np.random.default_rng(QUICK.seed)
    rows = []
    for counts in random.multinomial(6, np.full(6, 1 / 6), size=QUICK.resamples):
        # np.unique sorts the names
        drawn = [key for name, count in zip(sorted(NAMES), counts, strict=True) for key in count * [*y[[name]].index]]
        rows.append(stats.spearmanr(x[drawn], y[drawn]).statistic)
    low, high = np.quantile(rows, [0.025, 0.975])
    row = rulers(measured, critical, QUICK).set_index(["measure", "epsilon", "scope"]).loc["good", 0.3, ALL_MODELS]
    assert (row["spearman_low"], row["spearman_high"]) == pytest.approx((low, high))


def test_an_interval_of_no_width_is_none():
    measured, critical = study(models=6)
    critical["coordinate"] = critical.groupby("epsilon")["coordinate"].rank()
    perfect = critical.query("epsilon == 0.3")[["model", "step", "coordinate"]].rename(columns={"coordinate": "value"})
    measured = pd.concat([measured, perfect.assign(measure="perfect", made_with="")])
    row = rulers(measured, critical, QUICK).set_index(["measure", "epsilon", "scope"]).loc["perfect", 0.3, ALL_MODELS]
    assert row["spearman"] == pytest.approx(1)
    assert row[["spearman_low", "spearman_high", "r2_low", "r2_high"]].isna().all()
    assert row["p"] == pytest.approx(2 / 720)


@pytest.mark.parametrize("n", [4, 5, 7, 9])
def test_the_least_p_value_is_that_of_two_orders_among_all(n):
    ranks = np.arange(n, dtype=float)
    found = p_values(np.stack([ranks, -ranks, np.zeros(n)], axis=1), ranks, orders(n))
    assert found[:2] == pytest.approx(2 / np.prod(np.arange(1, n + 1)))
    assert np.isnan(found[2])


@pytest.mark.parametrize(("n", "kinds"), [(5, 3), (6, 9)])
def test_exact_p_values_are_those_of_scipy_with_ties_too(n, kinds):
    random = np.random.default_rng(3)
    x, y = random.integers(kinds, size=(3, n)), random.integers(kinds, size=n)
    expected = [
        stats.permutation_test(
            (own,),
            lambda order: abs(stats.spearmanr(order, y).statistic),
            permutation_type="pairings",
            alternative="greater",
        ).pvalue
        for own in x
    ]
    assert p_values(stats.rankdata(x, axis=1).T, stats.rankdata(y), orders(n)) == pytest.approx(expected)


def test_drawn_orders_agree_with_the_t_approximation_and_never_give_zero():
    random = np.random.default_rng(4)
    x, y = random.normal(size=(2, 30))
    (found,) = p_values(stats.rankdata(x)[:, None], stats.rankdata(y), orders(30))
    assert found == pytest.approx(stats.spearmanr(x, y).pvalue, abs=0.01)
    (least,) = p_values(np.arange(30.0)[:, None], np.arange(30.0), orders(30))
    assert least == pytest.approx(1e-5)


def test_without_critical_levels_or_checkpoints_the_table_is_empty():
    measured, critical = study()
    assert COMPARED.conform(rulers(measured, empty(CRITICAL), QUICK)).empty
    assert COMPARED.conform(rulers(empty(MEASURES), empty(CRITICAL), QUICK)).empty
    nothing = rulers(empty(MEASURES), critical, QUICK)
    assert COMPARED.conform(nothing).empty


def test_a_model_that_was_not_measured_is_compared_with_nothing():
    measured, critical = study()
    table = rulers(measured[measured["model"] == "one"], critical, QUICK).set_index(["measure", "epsilon", "scope"])
    assert table.loc["good", 0.3, "two"]["n"] == 0
    assert np.isnan(table.loc["good", 0.3, "two"]["spearman"])
    assert np.isfinite(table.loc["good", 0.3, ALL_MODELS]["spearman"])


def test_measures_of_nothing_are_none():
    assert MEASURES.conform(measures(RULERS, tables_of(empty), ["ok"])).empty
    assert MEASURES.conform(measures([], tables_of(empty), ["ok"])).empty


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
    critical.loc[(critical["model"] == "two") & (critical["step"] > 2), "coordinate"] = np.nan
    table = rulers(measured, critical, QUICK).set_index(["measure", "epsilon", "scope"])
    assert np.isnan(table.loc["size", 0.3, "one"]["spearman"])
    assert np.isfinite(table.loc["size", 0.3, ALL_MODELS]["spearman"])
    assert table.loc["good", 0.3, "two"]["n"] == 3
    assert np.isnan(table.loc["good", 0.3, "two"]["spearman"])
    assert table.loc["good", 0.3, ALL_MODELS]["n"] == 15


def test_equal_values_do_not_vary_however_they_round():
    measured, critical = study(models=6)
    measured = pd.concat([measured, measured.query("measure == 'good'").assign(measure="tenth", value=0.1)])
    table = rulers(measured, critical, QUICK)
    figures = ["spearman", "r2", "p", *UNCERTAIN]
    assert table.loc[table["measure"] == "tenth", figures].isna().all(axis=None)


def test_more_comparisons_ask_for_smaller_p_values():
    assert corrected(np.array([0.01]))[0] == pytest.approx(0.01)
    many = corrected(np.array([0.01, np.nan, *[0.5] * 20]))
    assert many[0] > 0.5
    assert np.isnan(many[1])


def test_the_heat_map_shows_every_measure_and_scope():
    points = pd.DataFrame({"epsilon": [0.3, 0.5], "headline": [True, False]})
    drawn = figure.draw(rulers(*study(), QUICK), points)
    panels = [axis for axis in drawn.axes if axis.get_title()]
    assert [axis.get_title() for axis in panels] == ["one", "two", ALL_MODELS]
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["loss", "good", "echo", "size"]
    # the constant within a model has no number, across models it has
    assert [len(axis.texts) for axis in panels] == [3, 3, 4]


def test_measures_come_from_every_table_that_is_there():
    here = {"model": "one", "step": 1}
    totals = [{**here, "code": "huffman", "choice": why, "total_bits": 9.0} for why in ("least total", "critical at 1")]
    tables = {
        "checkpoints": pd.DataFrame([{**here, "loss": 2.0, "norm": 3.0, "parameters": 10}]),
        "llc": pd.DataFrame(
            [
                {**here, **SAMPLED, "setting": setting, "llc": 5.0, "control": 1.0, "llc_minus_control": 4.0}
                for setting in ("published", "fair")
            ]
        ),
        "coding": pd.DataFrame([{**here, "code": "huffman", "levels": 16, "bits_per_parameter": 3.5}]),
        "two_part": pd.DataFrame(totals),
        "bits_back": pd.DataFrame([{**here, "weight_bits": 7.0, "total_bits": 8.0}]),
        "proxies": pd.DataFrame([{**here, "proxy": "gzip_signs", "value": 1.1}]),
        "bdm": pd.DataFrame([{**here, "view": "signs", "form": "matrices", "normalised": 0.9}]),
        "curvature": pd.DataFrame(
            [
                {
                    **here,
                    "weights": 10,
                    "hessian_trace": 100.0,
                    **dict.fromkeys(CURVATURES.keys() - {"hessian_trace"}, 1.0),
                }
            ]
        ),
        "spectrum": pd.DataFrame([{**here, "probe": p, "node": 0, "eigenvalue": 10.0, "weight": 1.0} for p in (0, 1)]),
    }
    bare = measures(GATHERED, tables, admit=["ok"])
    assert set(bare["measure"]) == {
        *("loss", "norm", "parameters"),
        *(
            f"{measure} ({setting})"
            for measure in ("llc", "llc control", "llc minus control", "llc per weight")
            for setting in ("published", "fair")
        ),
    }
    negative = {**tables, "llc": tables["llc"].assign(status="negative")}
    assert set(measures(GATHERED, negative, admit=["ok"])["measure"]) == {"loss", "norm", "parameters"}
    values = MEASURES.conform(measures(RULERS, tables, admit=["ok"])).set_index("measure")["value"]
    assert values["bits per parameter, huffman at 16"] == 3.5
    assert values["two-part total, huffman"] == 9.0
    assert values["bits back"] == 7.0
    assert values["llc per weight (fair)"] == 0.5
    assert values["hessian trace"] == 100.0
    assert values["llc of the quadratic well (fair)"] == pytest.approx(10 * (30 * 10 / (30 * 10 + 300)) / 2)
    assert values["gzip_signs"] == 1.1
    assert values["bdm, signs as matrices"] == 0.9


def test_llcs_of_different_settings_are_not_pooled_across_models():
    """A learning rate per size: within its model each LLC has its rows, across models it has none."""
    measured, critical = study()
    lr = {"one": "lr 1e-05", "two": "lr 0.0001"}
    apart = measured.assign(made_with=np.where(measured["measure"] == "loss", "", measured["model"].map(lr)))
    rows, alike = rulers(apart, critical, QUICK), rulers(measured, critical, QUICK)
    pooled = rows[rows["scope"] == ALL_MODELS]["measure"].unique().tolist()
    assert pooled == ["loss"] != alike[alike["scope"] == ALL_MODELS]["measure"].unique().tolist()
    within = rows[rows["scope"] != ALL_MODELS].reset_index(drop=True)
    columns = ["measure", "compressibility", "scope", "n", "spearman", "r2"]
    pd.testing.assert_frame_equal(within[columns], alike[alike["scope"] != ALL_MODELS].reset_index(drop=True)[columns])


def tables_of(rows: Callable[[Table], pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Every table that a ruler reads, by name."""
    read = [declared(name) for name in GATHERED] + [table for ruler in RULERS.values() for table in ruler.tables]
    return {table.name: rows(table) for table in read}


@pytest.mark.parametrize("name", RULERS)
def test_every_ruler_declares_what_the_workflow_needs(name):
    ruler = RULERS[name]
    assert ruler.__doc__ and ruler.version >= 1
    assert ruler().enabled, "every setting has a default"
    assert all({"model", "step"} <= set(table.key) for table in ruler.tables)
    assert all(declared(table.name) is table for table in ruler.tables), "the reference finds its tables"
    if ruler.tables:
        small, large = (
            ruler().cost(Shape.of(weights, 256), "float32", context, context * blocks)
            for weights, context, blocks in ((10**5, 64, 10), (10**7, 1024, 100))
        )
        assert 4 * 10**5 <= small.memory.device + small.memory.host < large.memory.device + large.memory.host
        assert 0 < small.tokens < large.tokens
    if ruler.follows:
        assert ruler.follows in SCHEMES
        assert "variant" in ruler.model_fields


def test_no_two_rulers_write_the_same_table():
    names = [table.name for ruler in RULERS.values() for table in ruler.tables]
    assert len(set(names)) == len(names)
    assert not set(names) & set(GATHERED)


@pytest.mark.parametrize("name", [name for name, ruler in RULERS.items() if ruler.tables])
def test_every_ruler_measures_a_checkpoint(name, checkpoint):
    """Its tables conform, its measures are numbers of their checkpoint, and equal seeds give equal numbers."""
    ruler = RULERS[name](**small_config()["rulers"].get(name, {}))
    points = pd.DataFrame({"level": [4.0, 16.0], "delta_loss": [0.5, 0.01], "tuned": [0.5, 0.8]})
    curve = Curve(SCHEMES[ruler.follows](), points, (0.1,), 16) if ruler.follows else None
    first, second = (ruler.measure(checkpoint, 1 if ruler.random else None, curve) for _ in range(2))
    made, again = (
        {table.name: table.conform(checkpoint.rows(found[table.name])) for table in ruler.tables}
        for found in (first, second)
    )
    for table, rows in made.items():
        pd.testing.assert_frame_equal(rows, again[table])
    rows = MEASURES.conform(measures([name], {**tables_of(empty), **made}, ["ok"]))
    assert len(rows)
    assert np.isfinite(rows["value"]).all()
    assert set(zip(rows["model"], rows["step"], strict=True)) == {("tiny", 7)}


def test_the_handle_of_a_checkpoint_refuses_other_weights(checkpoint, tmp_path):
    def handle(folder: str) -> Checkpoint:
        wildcards = SimpleNamespace(model="tiny", step="7")
        job = SimpleNamespace(params=SimpleNamespace(folder=folder), input=checkpoint.files, wildcards=wildcards)
        return Checkpoint.of(job, "float32")

    assert handle(checkpoint.folder) == checkpoint
    other = load(checkpoint.folder)
    with torch.no_grad():
        next(other.parameters()).add_(1)
    other.save_pretrained(tmp_path)
    with pytest.raises(StudyError, match="weights of tiny step 7 are not those of the manifest"):
        handle(str(tmp_path))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Checkpoint:
    """A trained model as a job finds it: its folder, its manifest and losses, and the corpus."""
    folder = tmp_path_factory.mktemp("checkpoint")
    small_models.trained(steps=30).save_pretrained(folder)
    blocks = small_models.blocks_of("evaluation")[:16]
    files = {name: str(folder / f"{name}.parquet") for name in ("manifest", "losses", "splits")}
    files["blocks"] = str(folder / "blocks.npy")
    save_blocks(files["blocks"], blocks)
    digest = hashlib.sha256(np.ascontiguousarray(blocks)).hexdigest()
    split = Split("evaluation", 0, len(blocks), blocks.shape[1], 256, digest)
    write_table(files["splits"], CORPUS, split_rows([split], ""), {})
    here = {"model": "tiny", "step": 7}
    write_table(files["manifest"], MANIFEST, [{**here, **row} for row in tensor_manifest(folder)], {})
    losses = enumerate(block_losses(load(folder), blocks, 16))
    rows = [{**here, "split": "evaluation", "block": block, "loss": loss} for block, loss in losses]
    write_table(files["losses"], LOSSES, rows, {})
    return Checkpoint("tiny", 7, str(folder), "float32", SimpleNamespace(**files))
