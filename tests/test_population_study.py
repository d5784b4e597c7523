"""A population in the config: its design, its mistakes, and a small one run by the real Snakemake."""

import copy
import os
import random
import subprocess
import sys
import time
import zipfile
from collections import Counter
from pathlib import Path

import pytest
import yaml

from running import Run
from smdl.foundation.errors import StudyError
from smdl.settings.config import settings, understood
from smdl.settings.configfile import load
from smdl.study.study import Study
from smdl.tables import read_table
from workflow import ROOT, WARM, jobs, snakemake

pytestmark = pytest.mark.long


def shipped() -> dict:
    """config.population.yaml and expectations.population.yaml as one."""
    config = load(ROOT / "config.population.yaml")
    config["population"] |= load(ROOT / "expectations.population.yaml")["population"]
    return config


@pytest.fixture(scope="module")
def full() -> Study:
    return settings(shipped(), Study)


def test_the_shipped_population_is_what_the_issue_asks_for(full):
    runs = {row["run"]: row for row in full.design()}
    assert Counter(row["kind"] for row in runs.values()) == {"base": 28, "neighbour": 56, "replicate": 8}
    assert Counter(row["factor"] for row in runs.values() if row["factor"]) == dict.fromkeys(full.population.factors, 8)
    assert {model.of for model in full.models.values() if model.source == "branch"} == set(runs)


def values(full: Study, run: str) -> dict:
    return {name: full.made_with(run, 0)[name] for name in [*full.population.factors, "seed"]}


def test_neighbours_differ_in_their_factor_alone_and_replicates_in_their_seed(full):
    for row in full.design():
        own, base = values(full, row["run"]), values(full, row["point"])
        differs = {name for name in own if own[name] != base[name]}
        assert differs == {"base": set(), "neighbour": {row["factor"]}, "replicate": {"seed"}}[row["kind"]]


def test_base_points_fill_the_space(full):
    points = [row["run"] for row in full.design() if (row["kind"], row["stage"]) == ("base", "averaged")]
    for factor in full.population.factors:
        assert max(Counter(values(full, run)[factor] for run in points).values()) <= 10
    places = [tuple(values(full, run).values())[:-1] for run in points]
    assert len(set(places)) == len(points)


def test_the_config_as_it_was_understood_is_understood_again(full):
    plain, typed = understood(shipped(), Study)
    assert settings(plain, Study).models == typed.models == full.models


def test_models_of_the_config_are_a_population_by_their_covariates():
    config = shipped()
    folder = {"source": "local", "path": str(ROOT / "src")}
    config["models"] = {f"m{i}": {**folder, "covariates": {"size": size, "seed": i}} for i, size in enumerate("112")}
    del config["population"]["template"]
    config["population"]["factors"] = {"scale": {"key": "size", "values": [1, 2]}}
    rows = Study.model_validate(config).design()
    assert [(row["model"], row["point"], row["kind"]) for row in rows] == [
        ("m0", "m0", "base"), ("m1", "m0", "replicate"), ("m2", "m2", "base"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("factors/lr/key", "training.seed", "population.factors.lr.key: the design gives every run its seed"),
        ("factors/again", {"key": "training.lr", "values": [1, 2]}, "population.factors.again: replicates have that"),
        (
            "factors/a b",
            {"key": "training.lr", "values": [1, 2]},
            "population.factors: the name 'a b' does not have the form",
        ),
        ("factors/lr/key", "training.speed", "population.factors.lr.key: the template has no key 'training.speed'"),
        ("design/neighbours", 8, "population.design.neighbours: 8 of 7 factors"),
        ("design/replicates", 29, "population.design.replicates: 29 of 28 points"),
        ("stable", [1.0], "population.stable: 1 is not one of the targets, [2.2, 2.0]"),
        ("expectations/epsilon", 0.2, "population.expectations.epsilon: the study has no tolerance 0.2"),
        ("template/training/lr", -1, "population.template.training.lr: -1 is too small; more than 0"),
    ],
)
def test_a_mistake_in_a_population_is_one_line(key, value, line):
    config = shipped()
    *keys, last = key.split("/")
    section = config["population"]
    for name in keys:
        section = section[name]
    section[last] = value
    with pytest.raises(StudyError) as error:
        settings(config, Study)
    told = str(error.value).splitlines()
    assert any(line in one for one in told), told
    assert len(told) <= 3, told


def test_a_model_with_the_name_of_a_generated_one_is_one_line():
    config = shipped()
    config["models"] = {"run07": {"source": "local", "path": str(ROOT / "src")}}
    with pytest.raises(StudyError) as error:
        settings(config, Study)
    assert str(error.value).splitlines()[-1].strip(" -") == "models.run07: the population has a model of that name"
    assert "training" not in str(error.value)


def small() -> dict:
    """The shipped population made small: runs of seconds, two schemes, one ruler."""
    config = copy.deepcopy(shipped())
    config["study"] = "small"
    config["corpus"] |= {"context": 16, "blocks": {"sampling": 32, "evaluation": 16, "calibration": 16}}
    config["population"] |= {
        "factors": {
            "lr": {"key": "training.lr", "values": [1e-2, 2e-2]},
            "layers": {"key": "architecture.layers", "values": [1, 2]},
        },
        "design": {"points": 5, "neighbours": 1, "replicates": 3},
        "targets": [3.2],
        "stable": [],
        "average": {"length": 0.5, "weights": 2},
    }
    template = config["population"]["template"]
    template["architecture"] = {"layers": 1, "hidden": 16, "heads": 2}
    template["training"] |= {"steps": 60, "batch_size": 8, "warmup": 5}
    template["keep"] = {"every": 5}
    written = config["population"]["expectations"]
    written |= {"resamples": 100, "permutations": 99, "given": ["loss"]}
    written["families"] = {"grids": ["quantize"], "removal": ["prune"], "motifs": ["motifs"], "noise": ["noise"]}
    config["llc"] |= {"chains": 2, "chains_per_job": 2, "burn_in": 2, "draws": 6}
    # So small a model has hardly any LLC, which its few draws often take for less than none.
    config["regression"] = {"admit": ["ok", "too noisy", "drifting", "not mixed", "negative"]}
    for setting in ("fair", "fair-again"):
        config["llc"]["settings"][setting] |= {"burn_in": 2, "draws": 6}
    config["compression"]["epsilons"] = [0.125]
    config["compression"]["schemes"] = {
        "quantize": {"levels": [2, 4, 8, 16, 64], "variants": {"minimised": {"range": "maximum"}}},
        "prune": {"levels": {"first": 0, "last": 1, "step": 0.2}, "variants": {"magnitude": {"score": "magnitude"}}},
        "noise": {"levels": {"first": 0.01, "last": 4, "ratio": 3}, "variants": {"absolute": {"scale": "absolute"}}},
        "motifs": {"levels": {"first": 0.01, "last": 0.9, "ratio": 4}, "variants": {"random": {"block": 4}}},
    }
    config["llc"]["settings"] = dict(reversed(config["llc"]["settings"].items()))
    config["rulers"] = {name: {"enabled": False} for name in ("coding", "bits_back", "proxies", "bdm", "curvature")}
    return config


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("population")
    done = snakemake(folder, small(), "--quiet", "all", warm=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "results/small"


def test_a_small_population_comes_to_its_verdicts(results):
    verdicts = read_table(results / "tables/expectations.parquet")
    assert set(verdicts["verdict"]) <= {"confirmed", "refuted", "undecided"}
    assert set(verdicts["claim"]) == set(shipped()["population"]["expectations"]["claims"])
    known = verdicts[verdicts["statistic"] == "partial_tau"]
    assert (known["holds"] != "not known").any()
    associations = read_table(results / "tables/associations.parquet")
    assert set(associations["stage"]) == {"decayed"}, "five averages are too few"
    assert set(associations["predictor"]) >= {"llc (fair)", "llc control (fair)", "loss", "log d", "training loss"}
    for figure in ("branches", "ladder", "granulated", "verdicts"):
        assert (results / f"figures/{figure}.svg").stat().st_size > 10_000
    assert not (results / "figures/training.svg").exists()


def test_the_covariates_reach_the_tables(results):
    covariates = read_table(results / "tables/covariates.parquet").set_index(["model", "covariate"])
    value = covariates["value"]
    design = read_table(results / "tables/design.parquet")
    decayed = design[design["stage"] == "decayed"]
    assert len(decayed) == 13
    for row in decayed.itertuples():
        own = value[row.model]
        assert own["reached"] == 1 and own["learning_rate"] == 0
        assert own["steps"] == own["branched_at"] + -(-own["branched_at"] * 3 // 10)
        assert own["tokens"] == own["steps"] * own["batch_size"] * 16
        assert covariates.loc[(row.model, "branch_of"), "text"] == row.run
    assert set(value.xs("layers", level="covariate")) == {1, 2}


def test_two_estimates_of_one_setting_are_independent(results):
    llc = read_table(results / "tables/llc.parquet").pivot(index="model", columns="setting", values="llc")
    assert (llc["fair"] != llc["fair-again"]).all()


def test_the_report_and_the_summary_tell_the_verdicts(results):
    command = [sys.executable, "-P", "-m", "smdl.cli"]
    for name in ("summary", "report", "status"):
        done = subprocess.run([*command, name, str(results)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        if name == "summary":
            assert "What was expected:\n  foretells: " in done.stdout
    # The report in one file is packed; the archive holds the same page as it is.
    with zipfile.ZipFile(results / "report.zip") as archive:
        pages = [archive.read(name).decode() for name in archive.namelist() if name.endswith("report.html")]
    assert any("a population of 13 independently trained runs" in page and "positive control" in page for page in pages)


def test_nothing_is_left_to_do(results):
    # The study's own copy of its config has its models listed, all keys in the order of the config's.
    for config in (small(), results / "config.yaml"):
        again = snakemake(results.parent.parent, config, "--dry-run", "--quiet", "all")
        assert again.returncode == 0, again.stderr
        assert not jobs(again.stdout + again.stderr)


def test_a_population_killed_at_random_moments_comes_to_the_same_tables(results, tmp_path):
    (tmp_path / "config.test.yaml").write_text(yaml.safe_dump(small(), sort_keys=False))
    line = ["--snakefile", str(ROOT / "Snakefile"), "--profile", str(ROOT / "profiles/local")]
    moments = random.Random()
    for share in (0.1, 0.4, 0.8):
        run = Run(tmp_path, [*WARM, sys.executable, "-m", "snakemake", *line, "--configfile", "config.test.yaml"])
        run.until(lambda share=share: len(finished(tmp_path)) > share * len(finished(results.parent.parent)))
        time.sleep(moments.uniform(0, 2))
        run.kill()
    done = snakemake(tmp_path, small(), "--quiet", "all", warm=True)
    assert done.returncode == 0, done.stderr[-3000:]
    tables = {path.name for path in (results / "tables").glob("*.parquet")} - {"runs.parquet"}
    assert len(tables) > 15
    for name in tables:
        assert read_table(tmp_path / "results/small/tables" / name).equals(read_table(results / "tables" / name)), name


def finished(folder):
    """The Parquet files of a study that are there."""
    # A folder that is still being written may be gone when it is looked into, which os.walk passes over.
    walked = os.walk(folder / "results")
    return [Path(top) / name for top, _, names in walked for name in names if name.endswith(".parquet")]
