"""A study of odd checkpoints, through another workflow that uses this one as a module under its own names.

One model is a plain folder, measured by one scheme alone. Of the other's checkpoints one holds NaN, one zeros, and one
weights so large that its losses are not finite: they are left out, and the study goes on to its end.
"""

from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from hub.checkpoints import small_model
from smdl.rulers.registry import RULERS
from smdl.tables import read_provenance
from workflow import ROOT, forked, jobs, small_config, snakemake

SNAKEFILE = """
configfile: "config.test.yaml"

module smdl:
    snakefile: "{root}/Snakefile"
    config: config

use rule * from smdl as smdl_*

rule mine:
    default_target: True
    input: rules.smdl_all.input
"""
ODD = {2: "not finite; loss not finite", 3: "constant", 4: "loss not finite"}


def save(folder: Path, seed: int, value: float | None = None, factor: float = 1.0) -> None:
    """A small model, of which all weights are set to ``value`` or multiplied by ``factor``."""
    model = small_model(seed, hidden_size=16, num_hidden_layers=1, intermediate_size=32)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(factor)
            if value is not None:
                parameter.fill_(value)
    model.save_pretrained(folder)


def config_of(folder: Path) -> dict:
    config = small_config()
    config["models"] = {
        "one": {"source": "local", "path": str(folder / "one"), "schemes": ["quantize"]},
        "run": {
            "source": "local",
            "path": str(folder / "run/step{step}"),
            "steps": [1, *ODD],
            "window": [1, 4],
        },
    }
    config["rulers"] = {"bits_back": {"enabled": False}, "curvature": {"enabled": False}}
    return config


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    save(folder / "one", 0)
    save(folder / "run/step1", 1)
    save(folder / "run/step2", 2, value=float("nan"))
    save(folder / "run/step3", 3, value=0.0)
    save(folder / "run/step4", 4, factor=1e20)
    (folder / "config.test.yaml").write_text(yaml.safe_dump(config_of(folder)))
    (folder / "Snakefile").write_text(SNAKEFILE.format(root=ROOT))
    command = ["--directory", str(folder), "--snakefile", str(folder / "Snakefile")]
    run = forked([*command, "--profile", str(ROOT / "profiles/local")], warm=True)
    assert run.returncode == 0, run.stderr[-6000:]
    assert "smdl_quantize" in run.stderr
    return folder


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(folder / f"results/small/{name}.parquet")


def test_unsound_checkpoints_are_excluded_with_their_reason_and_the_study_ends(study):
    audit = table(study, "tables/audit").set_index(["model", "step"])
    assert audit["reason"].to_dict() == {("one", 0): "", ("run", 1): "", **{("run", n): why for n, why in ODD.items()}}
    assert audit["excluded"].tolist() == [False, False, True, True, True]
    llc = table(study, "tables/llc").set_index(["model", "step"])
    assert llc.loc["run"]["status"].iloc[1:].tolist() == ["excluded"] * 3
    assert llc.loc["run"]["reason"].iloc[1:].tolist() == list(ODD.values())
    assert llc.loc["run"]["llc"].iloc[1:].isna().all()
    assert set(table(study, "tables/critical").query("model == 'run'")["step"]) == {1}
    for name in ("findings.png", "critical_bits.svg", "overview.svg", "training.svg"):
        assert (study / "results/small/figures" / name).stat().st_size > 1000


@pytest.mark.parametrize("step", ODD)
def test_every_job_on_an_unsound_checkpoint_ends_at_once_with_empty_tables(study, step):
    names = [f"draws/published/run/step{step}/block0"]
    names += [
        f"compression/{scheme}/run/step{step}/{name}"
        for scheme in ("quantize", "prune")
        for name in ("curves", "critical")
    ]
    rulers = (name for name in RULERS if name not in ("bits_back", "curvature"))
    names += [f"rulers/{name}/run/step{step}/{table.name}" for name in rulers for table in RULERS[name].tables]
    for name in names:
        assert len(table(study, name)) == 0
        assert read_provenance(study / f"results/small/{name}.parquet")["screened_out"]
    assert len(table(study, f"reference/run/step{step}/manifest")) > 0
    log = (study / f"results/small/logs/quantize/run/step{step}.log").read_text()
    assert log.splitlines()[-1] == f"left out: {ODD[step]}"


def test_a_scheme_that_a_model_leaves_out_is_nowhere(study):
    assert not (study / "results/small/compression/prune/one").exists()
    for name in ("curves", "critical"):
        assert table(study, f"tables/{name}").groupby("model")["scheme"].unique().map(set).to_dict() == {
            "one": {"quantize"}, "run": {"quantize", "prune"},
        }  # fmt: skip
    assert (study / "results/small/figures/schemes/prune.svg").exists()
    runs = table(study, "tables/runs")["file"]
    assert not runs.str.contains("prune/one").any()


def test_a_plain_folder_is_a_model_of_one_step(study):
    assert table(study, "tables/checkpoints").query("model == 'one'")["step"].tolist() == [0]
    assert table(study, "tables/llc").query("model == 'one'")["status"].item() != "excluded"


def test_the_jobs_and_the_disk_window_of_a_hubs_model_are_those_of_its_own_schemes(tmp_path):
    config = small_config()
    own = {"source": "hub", "context": 64, "parameters": 1000, "steps": [1, 2, 3]}
    config["models"] = {
        "all": {"repo": "lab/all", **own},
        "some": {"repo": "lab/some", "schemes": ["prune"], **own},
    }
    config["disk"] = {"window": 1}
    run = snakemake(tmp_path, config, "--dry-run")
    assert run.returncode == 0, run.stderr
    counts = jobs(run.stdout)
    assert {name: counts[name] for name in ("prune", "quantize", "coding", "proxies", "turn")} == {
        "prune": 6, "quantize": 3, "coding": 3, "proxies": 6, "turn": 6,
    }  # fmt: skip
    turns = run.stdout.split("rule turn:")[1:]
    (waits,) = (turn for turn in turns if "turns/some/step2" in turn.split("output:")[1].splitlines()[0])
    inputs = waits.splitlines()[1].split("input: ")[1].split(", ")
    assert sorted(path.removeprefix("results/small/") for path in inputs) == [
        "compression/prune/some/step1/critical.parquet",
        "compression/prune/some/step1/curves.parquet",
        "draws/published/some/step1/block0.parquet",
        "rulers/bdm/some/step1/bdm.parquet",
        "rulers/bits_back/some/step1/bits_back.parquet",
        "rulers/curvature/some/step1/curvature.parquet",
        "rulers/curvature/some/step1/spectrum.parquet",
        "rulers/proxies/some/step1/proxies.parquet",
    ]
