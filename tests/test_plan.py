"""The plan's counts are those of the dry run, and what a GPU must hold follows the size of the model."""

import subprocess
import sys
from collections import Counter

import pytest
import yaml

from conftest import ROOT
from smdl.runtime.cluster.resources import device_gb
from smdl.runtime.dry_run import PlannedJob, planned
from smdl.runtime.plan import gpu_hours
from workflow import jobs, snakemake


def test_device_memory_grows_with_weights_tokens_and_gradients():
    small = device_gb(70_000_000, "float32", 4.1, 1024, 50304, gradient=True)
    assert device_gb(160_000_000, "float32", 4.1, 1024, 50304, gradient=True) > small
    assert device_gb(70_000_000, "float32", 4.1, 2048, 50304, gradient=True) > small
    assert device_gb(70_000_000, "bfloat16", 4.1, 1024, 50304, gradient=True) < small
    assert device_gb(70_000_000, "float32", 4.1, 1024, 50304, gradient=False) < small
    assert device_gb(10**9, "float32", 4, 0, 50304, gradient=True) == pytest.approx(16)


def test_jobs_are_read_from_a_dry_run():
    text = """rule llc_chains:
    input: a, b
    wildcards: model=pythia-14m, step=2000, block=0
    resources: tmpdir=/tmp, gpu=1, mem_mb=3282, runtime=130
[Sun Nov 22 03:15:53 2026]
localrule listing:
    jobid: 3
    resources: tmpdir=/tmp

Job stats:
"""
    assert planned(text) == [PlannedJob("llc_chains", "pythia-14m", gpu=1, minutes=130), PlannedJob("listing")]
    assert gpu_hours(planned(text)[0]) == pytest.approx(1.0)


def test_the_plan_of_the_published_study_has_the_counts_of_its_dry_run(tmp_path):
    dry = snakemake(tmp_path, ROOT / "config.yaml", "--dry-run")
    counted = jobs(dry.stdout + dry.stderr)
    assert Counter(job.rule for job in planned(dry.stdout + dry.stderr)) == counted
    assert counted["download"] == 9 * 12
    plan = [sys.executable, "-m", "smdl.cli", "plan", "--configfile", str(ROOT / "config.yaml")]
    done = subprocess.run(plan, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"{sum(counted.values())} jobs")
    assert all(name in done.stdout for name in yaml.safe_load((ROOT / "config.yaml").read_text())["models"])
