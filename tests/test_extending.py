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
from workflow import jobs, small_config

COPIED = ("Snakefile", "rules", "scripts", "src", "profiles", "envs", "docs")


def example(page: str, language: str) -> str:
    """The first block of code of ``language`` in the worked example of a page."""
    text = (ROOT / "docs" / page).read_text()
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
    warm = [sys.executable, "-P", str(copy / "src/smdl/runtime/warm.py")] * ("-n" not in arguments)
    command = [*warm, sys.executable, "-m", "snakemake", "--snakefile", str(copy / "Snakefile")]
    return run(copy, *command, "--configfile", str(path), "--profile", str(copy / "profiles" / profile), *arguments)


MEDIANS = '''"""Median critical level of each scheme and variant of a model, at the headline's tolerance."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from smdl.figures.style import STYLE


def draw(points: pd.DataFrame, *, model: str) -> Figure:
    """A bar per scheme and variant."""
    own = points[(points["model"] == model) & (points["epsilon"] == points.loc[points["headline"], "epsilon"].iloc[0])]
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots()
        own.groupby(["scheme", "variant"])["coordinate"].median().plot.barh(ax=axis)
    return figure
'''


def test_a_figure_is_one_module_and_a_caption(copy):
    (copy / "src/smdl/figures/medians.py").write_text(MEDIANS)
    refused = snakemake(copy, small_config(), "-n")
    assert refused.stderr.strip().endswith("figure medians: its caption is missing: docs/captions/medians.rst")

    (copy / "docs/captions/medians.rst").write_text("The median critical level of {{ snakemake.wildcards.model }}.\n")
    planned = snakemake(copy, small_config(), "-n", "--printshellcmds")
    assert jobs(planned.stdout)["medians"] == 1, planned.stderr
    job = re.search(r"^rule medians:\n(.*?)\n\n", planned.stdout, re.DOTALL | re.MULTILINE)[1]
    assert "input: results/small/tables/points.parquet\n" in job

    made = snakemake(copy, small_config(), "--", "results/small/figures/medians/tiny.png")
    assert made.returncode == 0, made.stderr
    assert (copy.parent / "results/small/figures/medians/tiny.png").read_bytes().startswith(b"\x89PNG")

    (copy / "src/smdl/figures/medians.py").write_text(MEDIANS.replace("points: pd", "centroids: pd"))
    refused = snakemake(copy, small_config(), "-n")
    assert "figure medians: no rule makes the table centroids; there are " in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_scheme_is_one_file(copy):
    (copy / "src/smdl/compression/schemes/shrink.py").write_text(example("schemes.md", "python"))
    config = small_config()
    config["models"]["tiny"]["steps"] = [10, 20, 30]
    config["compression"]["schemes"] |= yaml.safe_load(example("schemes.md", "yaml"))["compression"]["schemes"]

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
    (copy / "src/smdl/rulers/unevenness.py").write_text(example("rulers.md", "python"))
    config = small_config()
    config["models"]["tiny"]["steps"] = [30]
    del config["models"]["tiny"]["window"], config["compression"]["schemes"]["prune"]
    others = {ruler: {"enabled": False} for ruler in RULERS}
    config["rulers"] = {**others, **yaml.safe_load(example("rulers.md", "yaml"))["rulers"]}

    planned = snakemake(copy, config, "-n", profile="slurm-plain")
    assert jobs(planned.stdout)["unevenness"] == 1, planned.stderr
    asked = re.search(r"^rule unevenness:.*?resources: ([^\n]*)", planned.stdout, re.DOTALL | re.MULTILINE)[1]
    assert "gpu" not in asked.replace("gpu=0", ""), "it reads weights and runs no model"
    assert "mem_mb=" in asked and "runtime=" in asked

    wrong = small_config()
    wrong["rulers"]["unevenness"] = {"larges": 0.1}
    refused = snakemake(copy, wrong, "-n")
    assert "unknown key 'larges'; did you mean largest?" in refused.stderr
    pages = "from smdl.reference_docs import configuration, outputs; print(configuration(), outputs())"
    reference = run(copy, sys.executable, "-c", pages).stdout
    assert "`rulers.unevenness.largest`" in reference
    assert "### unevenness" in reference

    made = snakemake(copy, config, "--", "results/small/tables/rulers.csv")
    assert made.returncode == 0, made.stderr
    for table in ("measures", "rulers"):
        assert "unevenness" in set(pd.read_csv(copy.parent / f"results/small/tables/{table}.csv")["measure"])


def test_a_ruler_that_runs_the_model_goes_where_the_gpus_are(copy):
    text = example("rulers.md", "python").replace("version = 1", "version = 1\n    runs_model = True")
    (copy / "src/smdl/rulers/unevenness.py").write_text(text)
    rules = "from smdl.runtime.cluster.resources import GPU_RULES; print(*GPU_RULES)"
    assert "unevenness" in run(copy, sys.executable, "-c", rules).stdout.split()
    planned = snakemake(copy, small_config(), "-n", profile="slurm-plain")
    inputs = re.search(r"^rule unevenness:\n *input: ([^\n]*)", planned.stdout, re.MULTILINE)[1]
    assert "corpus/blocks.npy" in inputs
