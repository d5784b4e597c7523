"""A small study, run by the real Snakemake from an empty folder."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from smdl.figures import registry
from smdl.study.tables import by_theme
from smdl.tables import read_provenance
from smdl.tables.study import CHECKPOINTS, CRITICAL, CURVES, LLC, POINTS, REGRESSIONS
from workflow import jobs, small_config, snakemake

GATHERED = {table.name: table for table in (CHECKPOINTS, LLC, CURVES, CRITICAL, POINTS, REGRESSIONS)}


@pytest.fixture(scope="module")
def study(small_study, tmp_path_factory):
    return shutil.copytree(small_study, tmp_path_factory.mktemp("study"), dirs_exist_ok=True)


def tables(folder) -> dict[str, pd.DataFrame]:
    return {name: pd.read_parquet(folder / f"results/small/tables/{name}.parquet") for name in GATHERED}


@pytest.mark.parametrize("name", GATHERED)
def test_a_table_has_its_schema_its_provenance_and_its_csv(study, name):
    path = study / f"results/small/tables/{name}.parquet"
    assert pq.read_schema(path).remove_metadata().equals(GATHERED[name].schema.remove_metadata(), check_metadata=False)
    provenance = read_provenance(path)
    assert provenance["table"] == name
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?|unknown", provenance["commit"])
    assert provenance["packages"]["torch"].startswith("2.13.0")
    rows = pd.read_csv(path.with_suffix(".csv"))
    assert list(rows.columns) == [column.name for column in GATHERED[name].columns]
    assert len(rows) == len(pd.read_parquet(path))


def test_every_checkpoint_is_there_and_the_numbers_hang_together(study):
    found = tables(study)
    steps = [10, 20, 30]
    assert found["checkpoints"]["step"].tolist() == steps
    assert found["checkpoints"]["loss"].is_monotonic_decreasing
    assert found["checkpoints"]["sha256"].is_unique
    llc = found["llc"]
    assert llc["step"].tolist() == steps
    draws = pd.read_parquet(study / "results/small/draws/published/tiny/step20/block0.parquet")
    kept = draws.query("draw >= 0 and kind == 'posterior'")
    assert len(kept) == 16
    assert llc["llc_plain"][1] == pytest.approx(30 * (kept["loss"] - kept["baseline"]).mean())
    assert np.isfinite(llc[["llc_se", "control", "control_se", "r_hat"]]).all(axis=None)
    assert set(found["curves"]["scheme"]) == set(found["critical"]["scheme"]) == {"quantize", "prune"}
    best = (
        found["curves"]
        .query("scheme == 'quantize'")
        .pivot(index=["step", "level"], columns="variant", values="delta_loss")
    )
    assert (best["minimised"] <= best["maximum"] + 1e-9).all()
    assert len(found["critical"]) == 3 * 3 * 2
    points = found["points"]
    assert len(points) == len(found["critical"])
    assert points.groupby("headline")["step"].apply(list)[True] == steps
    pd.testing.assert_series_equal(points["coordinate"], found["critical"]["coordinate"])
    assert found["regressions"].groupby(["variant", "epsilon"])["window"].apply(list).map(len).eq(2).all()
    assert found["regressions"]["headline"].sum() == 1


def test_measures_say_what_they_were_made_with_or_nothing(study):
    """One with a gap there would not be compared across models."""
    rows = pd.read_parquet(study / "results/small/tables/measures.parquet")
    told = rows.groupby("measure")["made_with"].unique().map(list)
    assert told["fisher trace"] == told["loss"] == [""]
    assert told["llc of the quadratic well (published)"] == ["n_beta 30, gamma 300"]


def test_the_figures_are_there(study):
    themes = ("tables.population", "tables.restricted", "tables.allocation")
    left_out = {table.name for theme in themes for table in by_theme()[theme]}
    own = [figure for figure in registry.declared() if left_out.isdisjoint(figure.tables)]
    paths = [figure.path.format(scheme=name) for figure in own for name in ("prune", "quantize")]
    assert "critical_bits" in paths and "schemes/prune" in paths
    for name in paths:
        assert (study / f"results/small/figures/{name}.svg").read_text().lstrip().startswith("<?xml")
        assert (study / f"results/small/figures/{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_config_is_written_as_it_was_understood(study):
    written = yaml.safe_load((study / "results/small/config.yaml").read_text())
    assert written["llc"]["alpha"] == 0.99


def test_training_shows_its_progress_in_its_log(study):
    assert "training: 100%" in (study / "results/small/logs/train/tiny.log").read_text()


def test_no_state_is_left(study):
    assert not list(study.rglob("*.state"))


def test_the_study_writes_below_its_results_only(study):
    assert sorted(path.name for path in study.iterdir()) == [".snakemake", "config.test.yaml", "results"]


def test_a_second_run_has_nothing_to_do(study):
    assert "Nothing to be done" in snakemake(study, small_config()).stderr


def test_an_edited_setting_reruns_only_what_depends_on_it(study):
    config = small_config()
    config["llc"]["gamma"] = 200
    again = jobs(snakemake(study, config, "-n").stdout)
    assert again["llc_chains"] == 3
    assert not {"train", "corpus", "reference", "quantize", "checkpoints"} & set(again)


def test_the_order_of_keys_reruns_nothing(study):
    config = small_config()
    config["llc"] = dict(reversed(config["llc"].items()))
    config["compression"] = dict(reversed(config["compression"].items()))
    assert set(jobs(snakemake(study, config, "-n").stdout)) <= {"settings", "settings_page", "all"}


def test_a_mistake_stops_a_dry_run_with_one_line(study):
    config = small_config()
    config["llc"]["burnin"] = 3
    run = snakemake(study, config, "-n")
    assert run.returncode == 1
    assert "llc: unknown key 'burnin'; did you mean burn_in?" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_chain_job_that_fails_after_it_has_written_its_draws_has_lost_nothing(small_study, tmp_path):
    """As where its time runs out just then: Snakemake takes the draws away, and what was saved is still there."""
    folder = shutil.copytree(small_study, tmp_path / "study")
    draws = folder / "results/small/draws/published/tiny/step10/block0.parquet"
    logs, made = [], []
    for _ in range(2):
        draws.unlink()
        run = snakemake(folder, small_config(), "--", str(draws.relative_to(folder)), warm=True)
        assert run.returncode == 0, run.stderr
        logs.append((folder / "results/small/logs/llc_chains/published/tiny/step10/block0.log").read_text())
        made.append(pd.read_parquet(draws))
    assert [re.search(r"chains: +(\d+)%", log)[1] for log in logs] == ["0", "100"]
    pd.testing.assert_frame_equal(*made, check_exact=True)


def test_everything_again_gives_the_same_numbers(study):
    before = tables(study)
    targets = [f"results/small/tables/{name}.parquet" for name in GATHERED]
    run = snakemake(study, small_config(), "--forceall", "--", *targets, warm=True)
    assert run.returncode == 0, run.stderr
    for name, rows in tables(study).items():
        pd.testing.assert_frame_equal(rows, before[name], check_exact=True)


def test_a_job_gives_the_same_numbers_without_the_warm_start(study):
    draws = "results/small/draws/published/tiny/step20/block0.parquet"
    before = pd.read_parquet(study / draws)
    run = snakemake(study, small_config(), "--force", draws)
    assert run.returncode == 0, run.stderr
    pd.testing.assert_frame_equal(pd.read_parquet(study / draws), before, check_exact=True)


def test_a_chain_that_diverges_fails_its_job_with_one_line_and_no_table(small_study, tmp_path):
    shutil.copytree(small_study, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("tables", "llc_chains"))
    config = small_config()
    config["llc"] |= {"lr": 1e30, "gamma": 0.0, "control": False}
    run = snakemake(tmp_path, config, warm=True)
    assert run.returncode == 1
    logs = [path.read_text() for path in tmp_path.glob("results/small/logs/llc_chains/**/*.log")]
    assert any("error: chain 0 left the finite losses at step" in log for log in logs), logs
    assert not (tmp_path / "results/small/tables/llc.parquet").exists()
    assert (tmp_path / "results/small/tables/critical.parquet").exists(), "the rest of the study goes on"


def test_the_graph_of_jobs(tmp_path):
    graph = json.loads(snakemake(tmp_path, small_config(), "--d3dag").stdout)
    assert len(graph["nodes"]) == sum(jobs(snakemake(tmp_path, small_config(), "-n").stdout).values())
