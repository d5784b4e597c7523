"""The workflow as a module of another one, read out of a git repository: a small study from its start to its end."""

import os
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml

from workflow import ROOT, SNAKEMAKE, WARM, small_config

SNAKEFILE = """
configfile: "config.test.yaml"

module smdl:
    snakefile: gitfile("repository", path="Snakefile", ref="main")
    config: config

use rule * from smdl as smdl_*

rule mine:
    default_target: True
    input: rules.smdl_all.input
    output: "mine.txt"
    shell: "cat {input[0]} > {output}"
"""
WORKFLOW = ("Snakefile", "rules", "scripts", "envs", "docs/captions", "config.yaml")


def committed(folder: Path) -> None:
    """A git repository with the workflow's files as they are now."""
    for name in WORKFLOW:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, folder / name)
    author = ["-c", "user.name=smdl", "-c", "user.email=smdl@localhost"]
    for command in (["init", "--quiet", "--initial-branch", "main"], ["add", "."]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    subprocess.run(["git", *author, "commit", "--quiet", "--message", "All"], cwd=folder, check=True)
    # What is read is what is committed, not what lies about.
    shutil.rmtree(folder / "scripts")


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_a_study_runs_to_its_end_out_of_a_git_repository(tmp_path):
    committed(tmp_path / "repository")
    config = small_config()
    (tmp_path / "config.test.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    command = [*WARM, SNAKEMAKE, "--cores", "2", "--quiet"]
    run = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=900, env={**os.environ, "CI": "1"}
    )
    assert run.returncode == 0, run.stderr[-6000:]
    assert "study: small\n" in (tmp_path / "mine.txt").read_text()
    llc = pd.read_parquet(tmp_path / "results/small/tables/llc.parquet")
    assert llc["step"].tolist() == config["models"]["tiny"]["steps"]
    assert list((tmp_path / "results/small/figures").glob("*.svg"))
