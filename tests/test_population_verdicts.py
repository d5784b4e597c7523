"""Planted truths: populations in which a chosen cause is at work get the verdict that it deserves."""

import numpy as np
import pandas as pd
import pytest

from smdl.analysis.population.judge import judge
from smdl.analysis.population.observations import (
    Population,
    errors_of,
    factor_levels,
    observations,
    predictors,
)
from smdl.analysis.population.settings import Expectations
from smdl.analysis.population.simulated import EPSILON, SCHEMES, SETTINGS, Simulated, Truth, simulate
from smdl.analysis.population.statistics import Statistics
from smdl.settings.configfile import load
from smdl.tables.population import (
    ASSOCIATIONS,
    DESIGN,
    EXPECTATIONS,
    FACTORS,
    INFORMATION,
    OBSERVATIONS,
    PREDICTIONS,
    RELIABILITY,
    SLOPES,
)
from smdl.tables.study import COVARIATES
from workflow import ROOT

WRITTEN = load(ROOT / "expectations.population.yaml")["population"]["expectations"]


def expectations(**changes) -> Expectations:
    return Expectations(**{**WRITTEN, "resamples": 100, "permutations": 99, **changes})


def population(tables: Simulated, written: Expectations, only: tuple[str, ...] = ()) -> Population:
    rows = observations(tables.design, tables.points, tables.covariates, written.setting, written.families)
    found = predictors(tables.measures, tables.checkpoints, tables.covariates)
    return Population(
        rows[rows["scheme"].isin(only)] if only else rows,
        found,
        errors_of(tables.llc),
        factor_levels(tables.design, tables.covariates),
    )


def verdicts(truth: Truth, points: int = 16, seed: int = 0) -> dict[str, str]:
    # What the claims speak of, and no more: the rest takes minutes.
    judged = ["llc (fair)", "llc (published)", "llc control (fair)", "fisher trace"]
    written = expectations(predictors=judged)
    schemes = ("quantize", "gptq", "prune", "motifs", "noise")
    statistics = Statistics(population(simulate(truth, points, seed), written, schemes), written, seed)
    names = ("associations", "factors", "predictions", "reliability")
    rows = judge(written, {name: getattr(statistics, name)() for name in names})
    EXPECTATIONS.conform(rows)
    return {row["claim"]: row["verdict"] for row in rows}


def test_where_the_llc_causes_the_outcome_it_is_confirmed():
    found = verdicts(Truth(llc=0.6))
    assert found["foretells"] == "confirmed"
    assert found["positive control"] == "confirmed"
    assert found["little before decay"] == "refuted", "planted at both stages"
    assert found["little at the published setting"] == "confirmed"


@pytest.mark.parametrize(
    "truth", [Truth(loss=3), Truth(flatness=0, loss=0), Truth(flatness=2)], ids=["loss", "nothing", "control"]
)
def test_where_it_does_not_it_is_not(truth):
    found = verdicts(truth)
    assert found["foretells"] in ("refuted", "undecided")
    assert found["little at the published setting"] != "refuted"


def test_a_negative_effect_is_refuted_only_where_the_estimate_is_reliable():
    assert verdicts(Truth(llc=-0.5))["foretells"] == "refuted"
    assert verdicts(Truth(llc=-0.5, noise=1.0))["foretells"] == "undecided"


@pytest.fixture(scope="module")
def statistics() -> Statistics:
    written = expectations()
    return Statistics(population(simulate(Truth(llc=0.6), 8, 0), written, ("quantize", "prune")), written, 0)


TABLES = [ASSOCIATIONS, FACTORS, INFORMATION, PREDICTIONS, SLOPES, RELIABILITY]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_table_is_as_declared_and_the_same_again(statistics, table):
    found = getattr(statistics, table.name)()
    assert len(found)
    table.conform(found)
    again = getattr(statistics, table.name)()
    assert found.equals(again)
    columns = [column.name for column in table.columns]
    for name in [name for name in columns if f"{name}_low" in columns]:
        known = found.dropna(subset=[f"{name}_low"])
        assert len(known) and (known[f"{name}_low"] <= known[f"{name}_high"]).all()


def test_more_means_less_compressible_in_every_family(statistics):
    rows = statistics.associations()
    own = rows[(rows["predictor"] == "llc (fair)") & (rows["stage"] == "decayed")].set_index("outcome")
    assert (own.loc[["quantize/v", "prune/v"], "partial_tau"] > 0.2).all()
    assert own["p"].drop("").max() < 0.05
    assert own["given"].iloc[0] == "loss, llc control (fair), fisher trace, norm, log d"
    published = rows[rows["predictor"] == "llc (published)"]
    assert published["given"].str.contains("llc control (published)", regex=False).all()


def test_observations_are_the_admitted_points_of_one_setting():
    tables = simulate(Truth(), 2, 0)
    out = tables.points["model"] == "p0"
    points = tables.points.assign(admitted=~out)
    rows = observations(tables.design, points, tables.covariates, "fair", {"grids": ["quantize"]})
    assert set(rows["scheme"]) == {"quantize"} and "p0" not in set(rows["model"])
    assert set(rows.loc[rows["stage"] == "decayed", "stratum"]) == {"decayed 2.2", "decayed 2", "decayed 1.8"}
    assert set(rows.loc[rows["stage"] == "stable", "stratum"]) == {f"stable, checkpoint {i}" for i in (1, 2, 3)}
    OBSERVATIONS.conform(rows)
    DESIGN.conform(tables.design)
    COVARIATES.conform(tables.covariates)


def test_a_measure_made_with_two_settings_is_no_predictor():
    tables = simulate(Truth(), 2, 0)
    mixed = tables.measures.copy()
    mixed.loc[mixed.index[0], "made_with"] = "lr 1"
    name = mixed["measure"].iloc[0]
    beside = tables.checkpoints, tables.covariates
    assert name not in predictors(mixed, *beside) and name in predictors(tables.measures, *beside)


def test_a_factor_of_many_values_is_divided_into_quarters():
    tables = simulate(Truth(), 8, 0)
    covariates = tables.covariates.copy()
    lr = covariates["covariate"] == "lr"
    covariates.loc[lr, "value"] = np.linspace(1, 2, lr.sum())
    levels = factor_levels(tables.design, covariates)
    assert levels["lr"].value_counts().tolist() == [len(levels) // 4] * 4
    assert set(levels["hidden"]) == set(range(4))
    texts = covariates.assign(value=covariates["value"].where(~lr), text=np.where(lr, "cosine", ""))
    assert set(factor_levels(tables.design, texts)["lr"]) == {0}


def test_without_a_measure_nothing_is_known_and_nothing_decided():
    written = expectations()
    rows = judge(written, {name: table.schema.empty_table().to_pandas() for name, table in EMPTY.items()})
    assert {row["holds"] for row in rows} == {"not known"} and {row["verdict"] for row in rows} == {"undecided"}
    assert all(np.isnan(row["value"]) for row in rows)


EMPTY = {"associations": ASSOCIATIONS, "factors": FACTORS, "predictions": PREDICTIONS, "reliability": RELIABILITY}


def test_the_written_thresholds_are_those_of_the_issue():
    claim = expectations().claims["foretells"]
    assert claim.families == ("grids", "removal", "motifs") and claim.families_needed == 2
    assert [vars(one) for one in claim.confirmed] == [
        {"statistic": "partial_tau", "at_least": 0.2, "low_above": 0, "high_below": None, "above": ()},
        {
            "statistic": "granulated_tau",
            "at_least": None,
            "low_above": None,
            "high_below": None,
            "above": ("control", "fisher trace"),
        },
        {"statistic": "prediction_gain", "at_least": 0.1, "low_above": None, "high_below": None, "above": ()},
    ]
    assert [(one.statistic, one.at_least, one.high_below) for one in claim.refuted] == [
        ("reliability", 0.9, None),
        ("partial_tau", None, 0.1),
    ]


def problems(written: Expectations, *study) -> list[str]:
    return list(written.conflicts("expectations", *(study or (SETTINGS, [EPSILON], SCHEMES))))


def test_mistakes_in_expectations_are_said_in_one_line_each():
    written = expectations()
    assert not problems(written)
    assert problems(written, ["fair"], [0.5], ["quantize", "noise", "prune"]) == [
        "expectations.repeat: the study has no setting 'fair-again'; there are fair",
        "expectations.epsilon: the study has no tolerance 0.125; there are 0.5",
        "expectations.families.motifs: the study has none of the schemes motifs",
    ]
    claim = WRITTEN["claims"]["foretells"]
    limitless = {**claim, "confirmed": [{"statistic": "tau"}, {"statistic": "tau", "at_least": 1}]}
    other = {**claim, "predictor": "luck", "families": ["none"], "families_needed": 3}
    assert problems(expectations(claims={"a": limitless, "b": other})) == [
        "expectations.claims.a.confirmed: tau stands twice; give its limits in one condition",
        "expectations.claims.a.confirmed: tau has no limit; give at_least, low_above, high_below or above",
        "expectations.claims.b.predictor: 'luck' is not one of the predictors",
        "expectations.claims.b.families: no family 'none'; there are grids, removal, motifs, noise",
        "expectations.claims.b.families_needed: 3 of 1 families",
    ]


def test_branches_of_runs_that_missed_their_target_are_left_out():
    tables = simulate(Truth(), 2, 0)
    branch = tables.design.loc[tables.design["stage"] == "decayed", "model"].iloc[0]
    missed = tables.covariates.iloc[:1].assign(model=branch, covariate="reached", value=0.0)
    covariates = pd.concat([tables.covariates, missed], ignore_index=True)
    kept, all_rows = (
        observations(tables.design, tables.points, its, "fair", {"grids": ["quantize"]})
        for its in (covariates, tables.covariates)
    )
    assert set(all_rows["model"]) - set(kept["model"]) == {branch}
