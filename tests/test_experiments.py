"""The experiments: each has a config of its own, plans its jobs alone, and one of them is run, made small."""

import json
import math
import re

import pytest
import yaml
from jsonschema import Draft202012Validator

from conftest import ROOT
from smdl.experiments.hinton.settings import Hinton
from smdl.experiments.known_answers.settings import KnownAnswers
from smdl.experiments.motifs.settings import Mosaics
from smdl.experiments.registry import NAMES, config_of
from smdl.experiments.theory.settings import Theory
from smdl.foundation.errors import StudyError
from smdl.reference_docs import PAGES
from smdl.settings.config import validated
from smdl.study.study import TAKEN
from smdl.tables import read_provenance, read_table
from workflow import jobs, snakemake

JOBS = {
    "theory": {"volumes": 10, "redundancy": 5, "clouds": 1, "network": 4, "bits": 1, "tables": 1, "theory": 1}
    | dict.fromkeys(("level_sets", "volume", "codes", "cells"), 1),
    "hinton": {"dataset": 5, "tables": 1, "weights": 1, "prior": 1, "hinton": 1},
    "known_answers": {"sample": 8, "tables": 1, "figure": 1, "known_answers": 1},
    "motifs": {"text": 1, "model": 126, "tables": 1, "pareto": 1, "structure": 1, "motifs": 1},
}
MISTAKES = [
    (Hinton, {"weight_decays": [1, math.inf]}, "weight_decays.1: inf is not a finite number"),
    (Hinton, {"positions": 9999, "descriptors": 9999}, "config: 525 cases of 99980001 inputs are more than 1e+09"),
    (Hinton, {"rule": {"inputs_each": 500}}, "rule.inputs_each: 500 are more than the 128 inputs"),
    (Hinton, {"restart": 3}, "config: unknown key 'restart'; did you mean restarts?"),
    (Theory, {"seed": -1}, "seed: -1 is too small; at least 0"),
    (Theory, {"bits": {"largest_eps": math.nan}}, "bits.largest_eps: nan is not a finite number"),
    (
        Theory,
        {"volumes": {"exact": {"smallest_eps": 0.1}}},
        "volumes.exact.smallest_eps: 0.1 is not below largest_eps, 1e-06",
    ),
    (Theory, {"redundancy": {"smallest_n": 10**11}}, "redundancy.smallest_n: 100000000000 is not below largest_n"),
    (Theory, {"volumes": {"models": ["ring"]}}, "volumes.models.0: 'ring' is not one of ellipse, valley"),
    (
        KnownAnswers,
        {"families": {"regular": {"shares": 11}}},
        "families.regular.shares: 11 jobs are more than the 10 cases",
    ),
    (Mosaics, {"architecture": {"heads": 5}}, "architecture.heads: 5 do not divide hidden, 48, into even widths"),
    (Mosaics, {"seeds": 9}, "seeds: 9 are more than free_seeds, 8"),
    (Mosaics, {"text": {"test": 64_380}}, "text: 11 blocks are left for training, fewer than training.batch_size"),
    (Mosaics, {"sampler": {"batch_size": 300}}, "sampler.batch_size: 300 are more than text.sampling, 256"),
    (
        Mosaics,
        {"capacities": [0.1]},
        "headline: motifs of 4 at capacity 0.3 are not among those of blocks and capacities",
    ),
    (KnownAnswers, {"gates": {"max_r_hat": 1}}, "gates.max_r_hat: 1 is too small; more than 1"),
]


def config_file(name: str) -> dict:
    return yaml.safe_load((ROOT / "experiments" / name / "config.yaml").read_text())


def test_every_experiment_has_its_folder_and_no_study_its_name():
    assert {path.name for path in (ROOT / "experiments").iterdir()} == set(NAMES) == set(JOBS)
    assert set(NAMES) <= set(TAKEN)
    targets = re.findall(r"--snakefile experiments/(\w+)/Snakefile", (ROOT / "Makefile").read_text())
    assert sorted(targets) == NAMES


@pytest.mark.parametrize(("kind", "raw", "line"), MISTAKES, ids=[line for *_, line in MISTAKES])
def test_a_mistake_is_one_clear_line(kind, raw, line):
    with pytest.raises(StudyError) as error:
        validated(raw, kind)
    heading, problem = str(error.value).splitlines()
    assert heading == "the configuration is not right:"
    assert line in problem


@pytest.mark.parametrize("name", NAMES)
def test_the_config_file_says_what_the_defaults_are_and_editors_take_it(name):
    kind = config_of(name)
    whole = validated(config_file(name), kind)
    assert whole == validated({}, kind)
    schema = json.loads(PAGES[f"../experiments/{name}/config.schema.json"]())
    Draft202012Validator.check_schema(schema)
    assert list(Draft202012Validator(schema).iter_errors(whole)) == []


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_plans_its_jobs_and_nothing_of_a_study(name, tmp_path):
    config = ROOT / "experiments" / name / "config.yaml"
    plan = snakemake(tmp_path, config, "--dry-run", snakefile=f"experiments/{name}/Snakefile")
    assert plan.returncode == 0, plan.stderr
    assert jobs(plan.stdout + plan.stderr) == JOBS[name]
    made = re.findall(r"^    (?:output|log): (.*)$", plan.stdout + plan.stderr, flags=re.MULTILINE)
    assert all(path.startswith(f"results/{name}/") for paths in made for path in paths.split(", "))


def test_a_wrong_key_ends_an_experiment_with_one_line(tmp_path):
    run = snakemake(tmp_path, {"sed": 1}, "--dry-run", snakefile="experiments/hinton/Snakefile")
    assert run.returncode
    assert "config: unknown key 'sed'; did you mean seed?" in run.stderr


def test_a_small_experiment_runs_to_its_end(tmp_path):
    small = {"cases": 2, "shares": 1, "chains": 2}
    sampler = {"burn_in": 2, "draws": 8, "steps_between_draws": 1}
    config = {
        "seed": 3,
        "families": {
            "monomials": {**small, "sampler": sampler},
            "crossings": {**small, "cases": 4, "sampler": sampler},
            "regular": {**small, "sampler": sampler},
            "reduced_rank": {**small, "cases": 6, "sampler": sampler},
            "deep_linear": {**small, "sampler": sampler},
        },
    }
    run = snakemake(tmp_path, config, warm=True, snakefile="experiments/known_answers/Snakefile")
    assert run.returncode == 0, run.stderr
    results = tmp_path / "results/known_answers"
    assert len(read_table(results / "tables/known_answers.parquet")) == 16
    assert list(read_table(results / "tables/known_answers_summary.parquet")["family"])[-1] == "all"
    assert (results / "figures/known_answers.svg").is_file()
    assert read_provenance(results / "shares/regular/share0.parquet")["seed"] == 3
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["known_answers"]
