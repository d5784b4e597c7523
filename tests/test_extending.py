"""What is declared once appears everywhere: each extension is one new file in a copy of the workflow, nothing else."""

import os
import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import yaml

from conftest import ROOT
from smdl.rulers.registry import RULERS
from workflow import forked, jobs, small_config

pytestmark = pytest.mark.long

COPIED = ("Snakefile", "pyproject.toml", "rules", "scripts", "src", "profiles", "envs", "docs")


def example(thing: str, language: str) -> str:
    """The first block of code of ``language`` in the worked example of how to add a thing."""
    text = (ROOT / f"docs/how-to/add-a-{thing}.md").read_text()
    return re.search(rf"worked example.*?```{language}\n(.*?)```", text, re.DOTALL | re.IGNORECASE)[1]


@pytest.fixture
def copy(small_study, tmp_path):
    """A copy of the workflow, to which a test adds files, beside a finished study, to which it adds results."""
    shutil.copytree(small_study, tmp_path, dirs_exist_ok=True)
    for name in COPIED:
        source = ROOT / name
        target = tmp_path / "workflow" / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            target.parent.mkdir(exist_ok=True)
            shutil.copy(source, target)
    return tmp_path / "workflow"


def run(copy, *command: str) -> subprocess.CompletedProcess:
    """Run a command on the copied library instead of the installed one."""
    environment = {**os.environ, "PYTHONPATH": str(copy / "src")}
    return subprocess.run(command, cwd=copy.parent, env=environment, capture_output=True, text=True, timeout=600)


def snakemake(copy, config: dict, *arguments: str, profile: str = "local") -> subprocess.CompletedProcess:
    path = copy.parent / "config.test.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    command = ["--snakefile", str(copy / "Snakefile"), "--configfile", str(path)]
    command += ["--profile", str(copy / "profiles" / profile), *arguments]
    return forked(command, copy.parent, warm=True, PYTHONPATH=str(copy / "src"))


def test_a_figure_is_one_module_and_a_caption(copy):
    module = example("figure", "python")
    (copy / "src/smdl/figures/medians.py").write_text(module)
    refused = snakemake(copy, small_config(), "-n")
    assert refused.stderr.strip().endswith("figure medians: its caption is missing: docs/captions/medians.rst")

    (copy / "docs/captions/medians.rst").write_text(example("figure", "rst"))
    planned = snakemake(copy, small_config(), "-n", "--printshellcmds")
    assert jobs(planned.stdout)["medians"] == 1, planned.stderr
    job = re.search(r"^rule medians:\n(.*?)\n\n", planned.stdout, re.DOTALL | re.MULTILINE)[1]
    assert "input: results/small/tables/points.parquet\n" in job

    made = snakemake(copy, small_config(), "--", "results/small/figures/medians/tiny.png")
    assert made.returncode == 0, made.stderr
    assert (copy.parent / "results/small/figures/medians/tiny.png").read_bytes().startswith(b"\x89PNG")

    (copy / "src/smdl/figures/medians.py").write_text(module.replace("points: pd", "centroids: pd"))
    refused = snakemake(copy, small_config(), "-n")
    assert "figure medians: no rule makes the table centroids; there are " in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_scheme_is_one_file(copy):
    (copy / "src/smdl/compression/schemes/shrink.py").write_text(example("scheme", "python"))
    config = small_config()
    config["models"]["tiny"]["steps"] = [10, 20, 30]
    config["compression"]["schemes"] |= yaml.safe_load(example("scheme", "yaml"))["compression"]["schemes"]

    planned = snakemake(copy, config, "-n", profile="slurm-plain")
    assert jobs(planned.stdout)["shrink"] == 3, planned.stderr
    asked = re.search(r"^rule shrink:.*?resources: ([^\n]*)", planned.stdout, re.DOTALL | re.MULTILINE)[1]
    assert "gres=gpu:1" in asked and "mem_mb=" in asked and "runtime=" in asked

    wrong = small_config()
    wrong["compression"]["schemes"]["shrink"] = {"levels": [0, 2], "variants": {"a": {"parameter": "linear"}}}
    refused = snakemake(copy, wrong, "-n")
    assert "unknown key 'parameter'; did you mean parameters?" in refused.stderr
    reference = run(copy, sys.executable, "-c", "from smdl.reference_docs import configuration; print(configuration())")
    assert "`compression.schemes.shrink.variants.<name>.parameters`" in reference.stdout

    made = snakemake(
        copy, config, "--", "results/small/tables/regressions.csv", "results/small/figures/schemes/shrink.png"
    )
    assert made.returncode == 0, made.stderr
    critical = pd.read_csv(copy.parent / "results/small/tables/critical.csv")
    assert set(critical.loc[critical["scheme"] == "shrink", "variant"]) == {"linear"}
    assert "shrink" in set(pd.read_csv(copy.parent / "results/small/tables/regressions.csv")["scheme"])


def test_a_ruler_is_one_file(copy):
    (copy / "src/smdl/rulers/unevenness.py").write_text(example("ruler", "python"))
    config = small_config()
    config["models"]["tiny"]["steps"] = [30]
    del config["models"]["tiny"]["window"], config["compression"]["schemes"]["prune"]
    others = {ruler: {"enabled": False} for ruler in RULERS}
    config["rulers"] = {**others, **yaml.safe_load(example("ruler", "yaml"))["rulers"]}

    planned = snakemake(copy, config, "-n", profile="slurm-plain")
    assert jobs(planned.stdout)["unevenness"] == 1, planned.stderr
    asked = re.search(r"^rule unevenness:.*?resources: ([^\n]*)", planned.stdout, re.DOTALL | re.MULTILINE)[1]
    assert "gpu" not in re.sub(r"gpu(_mb)?=0", "", asked), "it reads weights and runs no model"
    assert "mem_mb=" in asked and "runtime=" in asked

    wrong = small_config()
    wrong["rulers"]["unevenness"] = {"larges": 0.1}
    refused = snakemake(copy, wrong, "-n")
    assert "unknown key 'larges'; did you mean largest?" in refused.stderr
    pages = "from smdl.reference_docs import configuration, outputs; print(configuration(), outputs())"
    reference = run(copy, sys.executable, "-c", pages).stdout
    assert "`rulers.unevenness.largest`" in reference
    assert "### unevenness" in reference

    made = snakemake(copy, config, "--", "results/small/tables/rulers.csv", "results/small/tables/runs.csv")
    assert made.returncode == 0, made.stderr
    files = pd.read_csv(copy.parent / "results/small/tables/runs.csv")["file"]
    assert "rulers/unevenness/tiny/step30/unevenness.parquet" in set(files)
    for table in ("measures", "rulers"):
        assert "unevenness" in set(pd.read_csv(copy.parent / f"results/small/tables/{table}.csv")["measure"])


def test_a_ruler_that_runs_the_model_goes_where_the_gpus_are(copy):
    text = example("ruler", "python").replace("version = 1", "version = 1\n    runs_model = True")
    (copy / "src/smdl/rulers/unevenness.py").write_text(text)
    rules = "from smdl.runtime.cluster.resources import GPU_RULES; print(*GPU_RULES)"
    assert "unevenness" in run(copy, sys.executable, "-c", rules).stdout.split()
    planned = snakemake(copy, small_config(), "-n", profile="slurm-plain")
    inputs = re.search(r"^rule unevenness:\n *input: ([^\n]*)", planned.stdout, re.MULTILINE)[1]
    assert "corpus/blocks.npy" in inputs


def test_the_files_of_a_new_ruler_hold_back_the_disk_window(copy):
    (copy / "src/smdl/rulers/unevenness.py").write_text(example("ruler", "python"))
    config = small_config()
    config["models"] = {"far": {"source": "hub", "repo": "lab/far", "context": 64, "parameters": 9, "steps": [1, 2]}}
    config["disk"] = {"window": 1}
    planned = snakemake(copy, config, "-n")
    waits = next(job for job in planned.stdout.split("rule turn:")[1:] if "turns/far/step2" in job.split("\n\n")[0])
    assert "rulers/unevenness/far/step1/unevenness.parquet" in waits.split("output:")[0]


def test_a_source_is_one_file(copy):
    (copy / "src/smdl/sources/archive.py").write_text(example("source", "python"))
    for step in (10, 20):
        folder = copy.parent / f"results/small/trained/tiny/step{step}"
        shutil.make_archive(str(copy.parent / f"step{step}"), "zip", folder)
    config = small_config()
    config["models"] = yaml.safe_load(example("source", "yaml"))["models"]
    config["disk"] = {"window": 1}
    config["compression"]["schemes"].pop("prune")

    planned = snakemake(copy, config, "-n", profile="slurm-plain")
    counts = jobs(planned.stdout)
    assert (counts["unpack"], counts["turn"]) == (2, 2), planned.stderr
    asked = re.search(r"^rule unpack:.*?resources: ([^\n]*)", planned.stdout, re.DOTALL | re.MULTILINE)[1]
    assert "gres=gpu:1" not in asked.replace("gpu=0", "")
    assert "mem_mb=" in asked and "runtime=" in asked

    wrong = small_config()
    wrong["models"] = {"packed": {"source": "archive", "archive": "x", "steps": [10]}}
    refused = snakemake(copy, wrong, "-n")
    assert "unknown key 'archive'; did you mean archives?" in refused.stderr
    wrong["models"] = {"packed": {"source": "archive", "archives": "other{step}.zip", "steps": [10]}}
    refused = snakemake(copy, wrong, "-n")
    assert "the model has no checkpoint of step 10; there is no file other{step}.zip" in refused.stderr
    reference = run(copy, sys.executable, "-c", "from smdl.reference_docs import configuration; print(configuration())")
    assert "`models.<name>.archives`" in reference.stdout
    assert "archive - zip archives of checkpoints on disk" in reference.stdout

    made = snakemake(copy, config, "--", "results/small/tables/regressions.csv", "results/small/tables/runs.csv")
    assert made.returncode == 0, made.stderr
    assert pd.read_csv(copy.parent / "results/small/tables/checkpoints.csv")["model"].tolist() == ["packed"] * 2
    assert not list((copy.parent / "results/small/unpacked").rglob("*.safetensors")), "deleted after use"
