"""The workflow as a module of another one: out of a git repository, from a hub of repositories, and from a folder.

The other workflow is the one of docs/how-to/use-as-a-module.md.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest
import yaml
from pandas.testing import assert_frame_equal

from conftest import ROOT
from smdl.settings.config import settings
from smdl.study.study import Study
from workflow import SNAKEMAKE, forked, jobs, small_config, snakemake

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")

WORKFLOW = ("Snakefile", "workflow", "rules", "scripts", "envs", "docs/captions", "pyproject.toml")
EXAMPLE, PLACES, SET_UP = re.findall(
    r"```python\n(.*?)```", (ROOT / "docs/how-to/use-as-a-module.md").read_text(), re.DOTALL
)
GIT = re.search(r"snakefile: (gitfile.*)", EXAMPLE)[1]
HUB, FOLDER = re.findall(r"snakefile: (.*)", PLACES)
# What the other workflow has of its own, which the module shall leave alone.
OWN = """
shell.prefix("own=kept; ")

onstart:
    open("started", "w").close()

onsuccess:
    open("succeeded", "w").close()

rule untouched:
    output: "untouched.txt"
    shell: "echo $own > {output}"

"""
# Snakemake in a Python that has neither the library nor its plugin.
WITHOUT = """
import sys
from pathlib import Path

sys.path[:] = [folder for folder in sys.path if not Path(folder, "smdl").is_dir()]
from snakemake.cli import main
main()
"""


def git(folder: Path, *arguments: str) -> str:
    author = ["-c", "user.name=smdl", "-c", "user.email=smdl@localhost"]
    done = subprocess.run(["git", *author, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> Path:
    """A folder of repositories; owner/name holds the workflow's files as they are now."""
    hub = tmp_path_factory.mktemp("hub")
    for name in WORKFLOW:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (hub / "owner/name" / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, hub / "owner/name" / name)
    for command in (
        ["init", "--quiet", "--initial-branch", "main"],
        ["add", "."],
        ["commit", "--quiet", "--message", "All"],
        ["tag", "v0.1.0"],
    ):
        git(hub / "owner/name", *command)
    return hub


@pytest.fixture(scope="module")
def clone(hub) -> Path:
    """A clone of owner/name, without a work tree: what is read is what is committed."""
    git(hub, "clone", "--quiet", "--no-checkout", f"file://{hub}/owner/name", "clone")
    return hub / "clone"


def installed(folder: Path, commit: str, number: str | None = None) -> dict[str, str]:
    """An environment in which pip has taken the library out of a git repository at ``commit``."""
    number = number or version("smdl")
    told = folder / f"smdl-{number}.dist-info"
    told.mkdir(parents=True)
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: smdl\nVersion: {number}\n")
    (told / "direct_url.json").write_text(json.dumps({"url": "", "vcs_info": {"vcs": "git", "commit_id": commit}}))
    return {"PYTHONPATH": str(folder)}


def run(
    folder: Path, example: str, *arguments: str, program=(SNAKEMAKE,), warm: bool = False, **more: str
) -> subprocess.CompletedProcess:
    """Run the workflow ``example``; its config is that of a small study, or has it in the section ``smdl``."""
    config = {"smdl": small_config()} if 'config["smdl"]' in example else small_config()
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (folder / "Snakefile").write_text(example)
    if warm:
        return forked(["--cores", "2", *arguments], folder, warm=True, **more)
    environment = {name: value for name, value in os.environ.items() if name != "GITHUB_TOKEN"}
    command = [*program, "--cores", "2", *arguments]
    environment |= {"CI": "1", **more}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, env=environment)


def assert_same_tables(folder: Path, direct: Path, names: set[str]) -> None:
    """The tables of both folders are equal; that of the runs holds times."""
    made = {path.name: pd.read_csv(path) for path in (folder / "results/small/tables").glob("*.csv")}
    assert names == set(made)
    for name in names - {"runs.csv"}:
        assert_frame_equal(made[name], pd.read_csv(direct / "results/small/tables" / name))


def test_a_study_out_of_a_git_repository_equals_the_study_run_directly(clone, small_study, tmp_path):
    commit = git(clone, "rev-parse", "main")
    example = OWN + EXAMPLE.replace("/path/of/a/clone", str(clone))
    environment = installed(tmp_path / "library", commit)
    done = run(tmp_path, example, "--", "mine", "untouched", warm=True, **environment)
    assert done.returncode == 0, done.stderr[-6000:]
    assert "rule smdl_llc_chains:" in done.stderr
    names = {path.name for path in (small_study / "results/small/tables").glob("*.csv")}
    assert_same_tables(tmp_path, small_study, names)
    assert (tmp_path / "mine.csv").read_text().startswith("model,step,setting,llc\n")
    assert set(pd.read_csv(tmp_path / "results/small/tables/runs.csv")["commit"]) == {commit}
    assert (tmp_path / "untouched.txt").read_text() == "kept\n"
    assert (tmp_path / "started").exists() and (tmp_path / "succeeded").exists()
    report = run(tmp_path, example, "--report", "report.zip", "--", "mine", **environment)
    assert report.returncode == 0, report.stderr[-6000:]


def test_lines_from_a_folder_equal_those_of_the_study_run_directly(small_study, tmp_path):
    example = EXAMPLE.replace(GIT, FOLDER.replace("/path/of/a/clone", str(ROOT))).replace('config["smdl"]', "config")
    lines = "results/small/tables/regressions.csv"
    done = run(tmp_path, SET_UP + example, "--", lines, warm=True)
    assert done.returncode == 0, done.stderr[-6000:]
    assert "rule smdl_regressions:" in done.stderr
    tables = ("audit", "checkpoints", "critical", "curves", "llc", "points", "regressions")
    assert_same_tables(tmp_path, small_study, {f"{name}.csv" for name in tables})


def test_rules_and_scripts_come_from_a_hub_of_repositories(hub, tmp_path):
    redirected = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.file://{hub}/.insteadOf"}
    redirected |= {"GIT_CONFIG_VALUE_0": "https://github.com/", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    files = ("results/small/config.yaml", "results/small/corpus/splits.parquet")
    done = run(tmp_path, EXAMPLE.replace(GIT, HUB), "--", *files, **redirected)
    assert done.returncode == 0, done.stderr[-6000:]
    assert all((tmp_path / file).is_file() for file in files)


def test_the_first_rule_of_the_other_workflow_stays_its_default_target(tmp_path):
    example = EXAMPLE.replace(GIT, FOLDER.replace("/path/of/a/clone", str(ROOT))).replace(
        "    default_target: True\n", ""
    )
    plan = run(tmp_path, OWN + example, "--dry-run")
    assert jobs(plan.stdout) == {"untouched": 1}, plan.stderr
    # Names that the rules do not have here would be called undefined.
    assert "localrules" not in plan.stderr


def test_a_library_that_is_missing_is_named_with_the_command_that_installs_it(clone, tmp_path):
    example = EXAMPLE.replace("/path/of/a/clone", str(clone))
    refused = run(tmp_path, example, "--dry-run", program=(sys.executable, "-c", WITHOUT))
    assert refused.returncode
    assert refused.stderr.splitlines()[-1] == (
        "smdl, the library of this workflow, is not installed where Snakemake is; to install it:"
        f" {sys.executable} -m pip install git+file://{clone}@main"
    )


@pytest.mark.parametrize(("number", "commit"), [("0.0.9", None), (None, "0" * 40)])
def test_a_library_of_another_commit_is_named_with_the_command_that_replaces_it(clone, tmp_path, number, commit):
    environment = installed(tmp_path / "library", commit or git(clone, "rev-parse", "main"), number)
    example = EXAMPLE.replace("/path/of/a/clone", str(clone))
    refused = run(tmp_path, example, "--dry-run", **environment)
    assert refused.returncode
    line = refused.stderr.splitlines()[-1]
    assert f"is installed in version {number or version('smdl')}, commit {commit or ''}" in line
    pip = f"{sys.executable} -m pip"
    assert line.endswith(f": {pip} uninstall --yes smdl && {pip} install git+file://{clone}@main")


def test_commands_that_run_the_workflow_say_where_they_have_none(small_study, tmp_path):
    shutil.copytree(ROOT / "src/smdl", tmp_path / "lib/python3/site-packages/smdl")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "lib/python3/site-packages")}
    command = [sys.executable, "-P", "-m", "smdl.cli", "status", str(small_study / "results/small")]
    asked = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert asked.returncode == 1
    assert asked.stderr.startswith("error: this command runs the workflow, and smdl is installed without it")


def test_the_catalog_finds_what_it_looks_for(tmp_path):
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage["software-stack-deployment"]) == {"conda", "apptainer", "apptainer+conda"}
    assert (ROOT / "config/README.md").read_text().startswith("# Configuration\n")
    deployed = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    assert settings(deployed, Study).study == "mini"
    schema = json.loads((ROOT / "workflow/schemas/config.schema.json").read_text())
    assert set(deployed) <= set(schema["properties"])
    planned = snakemake(tmp_path, small_config(), "--dry-run", snakefile="workflow/Snakefile")
    direct = snakemake(tmp_path, small_config(), "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert {**jobs(direct.stdout), "study": 1} == {**jobs(planned.stdout), "all": 1}
