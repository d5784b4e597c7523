"""The full study of config.yaml, planned but not run: no network, no torch, every checkpoint."""

import subprocess
import sys

from conftest import ROOT
from debian import program
from workflow import SNAKEMAKE, jobs

PER_CHECKPOINT = {"download": 1, "reference": 1, "llc_chains": 4, "quantize": 1}


def dry_run(profile: str, folder, *arguments: str) -> subprocess.CompletedProcess:
    command = [
        *("unshare", "--net", "--map-root-user") * _may_unshare(),
        *(SNAKEMAKE, "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)),
        *("--configfile", str(ROOT / "config.yaml"), "--profile", str(ROOT / "profiles" / profile), *arguments),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def _may_unshare() -> bool:
    return subprocess.run(["unshare", "--net", "--map-root-user", "true"], capture_output=True).returncode == 0


def test_every_checkpoint_has_its_jobs(tmp_path):
    run = dry_run("local", tmp_path, "-n")
    assert run.returncode == 0, run.stderr
    counts = jobs(run.stdout)
    assert {rule: counts[rule] for rule in PER_CHECKPOINT} == {r: 108 * n for r, n in PER_CHECKPOINT.items()}
    assert run.stdout.count("wildcards: setting=published, model=pythia-6.9b, step=90000, block=") == 4


def test_the_rule_graph_draws(tmp_path):
    graph = dry_run("local", tmp_path, "--rulegraph")
    drawn = subprocess.run([program("dot", "graphviz"), "-Tsvg"], input=graph.stdout, capture_output=True, text=True)
    assert drawn.returncode == 0, drawn.stderr
    assert "llc_chains" in drawn.stdout


def test_planning_never_imports_torch():
    program = (
        "import sys, smdl.settings.config, smdl.runtime.stages, smdl.compression.registry;"
        "print(sorted({'torch', 'transformers', 'scipy'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert run.stdout.strip() == "[]", run.stderr
    for path in [ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")]:
        assert "torch" not in path.read_text(), path
