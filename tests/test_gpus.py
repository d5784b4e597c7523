"""On one machine no more jobs have a GPU than there are GPUs, and no two the same; by Snakemake with our profile."""

import json
import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest

from conftest import ROOT

SNAKEFILE = """
rule all:
    input: expand("{number}.json", number=range(3))

rule one:
    output: "{number}.json"
    resources: gpu=1
    shell: "PYTHON job.py {output}"
"""
JOB = """
import json, sys, time
from pathlib import Path
from smdl.runtime.gpus import take
gpu, begun = take(Path("locks")), time.time()
time.sleep(2)
Path(sys.argv[1]).write_text(json.dumps([gpu, begun, time.time()]))
"""


def run(folder: Path, gpus: str) -> list[list]:
    """What three jobs say that each want a GPU, on a machine of three cores that has these: GPU, begin, end."""
    (folder / "Snakefile").write_text(SNAKEFILE.replace("PYTHON", sys.executable))
    (folder / "job.py").write_text(JOB)
    command = [sys.executable, "-m", "snakemake", "--profile", str(ROOT / "profiles/local"), "--cores", "3", "--quiet"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": gpus}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(path.read_text()) for path in folder.glob("*.json")]


def at_once(jobs: list[list]) -> list[tuple[list, list]]:
    """The pairs of jobs that ran at the same time."""
    return [(one, other) for one, other in combinations(jobs, 2) if one[1] < other[2] and other[1] < one[2]]


def test_on_one_gpu_jobs_run_one_after_another(tmp_path):
    jobs = run(tmp_path, "0")
    assert not at_once(jobs)
    assert {gpu for gpu, *_ in jobs} == {None}, "it need not choose"


def test_on_two_gpus_two_jobs_have_one_each(tmp_path):
    together = at_once(run(tmp_path, "3,GPU-7f"))
    assert together
    assert all({one[0], other[0]} == {"3", "GPU-7f"} for one, other in together)


@pytest.mark.parametrize("found", ["", None])
def test_without_a_gpu_nothing_is_limited(found, monkeypatch, tmp_path):
    from smdl.runtime.gpus import limits, take

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if found is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", found)
    assert limits() == [] and take() is None


def test_the_gpus_of_the_machine_are_counted(monkeypatch, tmp_path):
    from smdl.runtime.gpus import limits

    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho GPU-1\necho GPU-2\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert limits() == ["gpu=2"]
