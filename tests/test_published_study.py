"""The full study of config.yaml, planned but not run: no network, no torch, every checkpoint."""

import subprocess
import sys

from conftest import ROOT
from debian import program
from workflow import jobs, offline

PER_CHECKPOINT = {"download": 1, "reference": 1, "llc_chains": 4, "quantize": 1}


def test_every_checkpoint_has_its_jobs(published_plan):
    counts = jobs(published_plan)
    assert {rule: counts[rule] for rule in PER_CHECKPOINT} == {r: 108 * n for r, n in PER_CHECKPOINT.items()}
    assert published_plan.count("wildcards: setting=published, model=pythia-6.9b, step=90000, block=") == 4


def test_the_rule_graph_draws(tmp_path):
    graph = offline(tmp_path, "--rulegraph")
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
