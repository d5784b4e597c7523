"""A run that is stopped or killed in any way leaves nothing running, its chains saved; one run at a time a folder."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from conftest import ROOT
from running import Run
from workflow import WARM, small_config

PLAIN = [sys.executable, "-m", "snakemake"]
LINE = ["--snakefile", str(ROOT / "Snakefile"), "--profile", str(ROOT / "profiles/local"), "--cores", "1"]
LOG = "results/small/logs/llc_chains/published/tiny/step10/block0.log"
DRAWS = "results/small/draws/published/tiny/step10/block0.parquet"
GOES_ON = "What is done is kept: the same command goes on from here."


def wait_for_a_chain(run: Run) -> None:
    """Until the chain has walked its first steps."""
    log = run.folder / LOG
    log.unlink(missing_ok=True)
    run.until(lambda: log.exists() and "after 10 steps" in log.read_text())


@pytest.fixture(scope="module")
def unfinished(small_study, tmp_path_factory) -> Path:
    """A small study of which one chain job is left, and that one long."""
    folder = shutil.copytree(small_study, tmp_path_factory.mktemp("stop"), dirs_exist_ok=True)
    (folder / DRAWS).unlink()
    config = small_config()
    config["llc"] |= {"draws": 1_000_000}
    (folder / "config.mini.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture
def start(unfinished) -> Iterator:
    """Start Snakemake on the long chain: below make, below the warm process, or by itself."""
    begun = []

    def run(how: str, *more: str) -> Run:
        own = ["--configfile", "config.mini.yaml"]
        if how == "make":
            if not shutil.which("make"):
                pytest.skip("make is not installed")
            snakemake = [*WARM, *PLAIN, DRAWS, *LINE]
            command = ["make", "-f", str(ROOT / "Makefile"), "-o", ".venv/installed", "mini"]
            command += [f"SNAKEMAKE={' '.join(snakemake)}"]
        else:
            command = [*(WARM if how == "warm" else []), *PLAIN, DRAWS, *LINE, *own]
        begun.append(Run(unfinished, [*command, *more]))
        return begun[-1]

    shutil.rmtree(unfinished / f"{DRAWS}.state", ignore_errors=True)
    yield run
    for each in begun:
        for pid in each.alive():
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def saved(folder: Path) -> list[Path]:
    return list((folder / f"{DRAWS}.state").glob("[01].state"))


@pytest.mark.parametrize(
    ("how", "who", "number"),
    [
        ("make", "make", signal.SIGTERM),
        ("make", "make", signal.SIGINT),
        ("make", "make", signal.SIGKILL),
        ("make", "the group", signal.SIGINT),
        ("warm", "the group", signal.SIGTERM),
        ("warm", " ".join(WARM), signal.SIGKILL),
        ("warm", " ".join(PLAIN), signal.SIGKILL),
    ],
    ids=lambda value: getattr(value, "name", None) or Path(str(value).split()[-1]).name,
)
def test_whoever_gets_the_signal_all_end_the_chain_saves_and_the_line_says_how_to_go_on(start, how, who, number):
    run = start(how)
    wait_for_a_chain(run)
    assert not saved(run.folder), "the state is first saved after half an hour"
    if who == "the group":
        os.killpg(run.process.pid, number)
    else:
        os.kill(run.id_of(who), number)
    run.ends(60)
    assert saved(run.folder), run.log()
    last = [line for line in run.log().splitlines() if not line.startswith("make: ")][-1]
    assert last.endswith(GOES_ON) or (who, number) == ("make", signal.SIGKILL)
    assert run.process.returncode != 0


def test_after_sigkill_the_same_line_goes_on_without_unlock(start):
    first = start("plain")
    wait_for_a_chain(first)
    os.kill(first.process.pid, signal.SIGKILL)
    first.ends(60)
    assert list((first.folder / ".snakemake/locks").iterdir()), "Snakemake leaves its lock"
    second = start("plain")
    log = first.folder / LOG
    log.unlink()
    second.until(lambda: log.exists() and "chains:" in log.read_text())
    assert "was killed: its lock is removed." in second.log()
    assert int(re.search(r"chains:[^|]*\|[^|]*\| *(\d+)/", log.read_text())[1]) >= 10, "it goes on where it was"
    os.kill(second.process.pid, signal.SIGTERM)
    second.ends(60)
    assert not list((first.folder / ".snakemake").glob("locks/*")) + list(
        (first.folder / ".snakemake").glob("smdl-runs/*")
    )


def test_a_second_run_for_the_same_files_is_stopped_and_others_are_not(start, unfinished):
    def snakemake(*arguments: str, config: str = "config.mini.yaml") -> subprocess.CompletedProcess:
        command = [*PLAIN, *arguments, *LINE, "--configfile", config]
        return subprocess.run(command, cwd=unfinished, capture_output=True, text=True, timeout=300)

    first = start("plain")
    wait_for_a_chain(first)
    pid = first.process.pid
    unlock = snakemake("--unlock")
    assert unlock.returncode == 1
    assert f"stays locked: Snakemake with process id {pid} on" in unlock.stderr
    shutil.rmtree(unfinished / ".snakemake/locks")
    second = snakemake(DRAWS)
    assert second.returncode == 1
    assert f"another run makes the same files: Snakemake with process id {pid} on" in second.stderr.splitlines()[-1]
    assert f"kill -TERM {pid}" in second.stderr
    other = small_config() | {"study": "other"}
    (unfinished / "other.yaml").write_text(yaml.safe_dump(other))
    beside = snakemake("results/other/config.yaml", config="other.yaml")
    assert beside.returncode == 0, beside.stderr
    assert snakemake("-n", DRAWS).returncode == 0, "a dry run changes nothing and is let"
    assert first.process.poll() is None
    os.kill(pid, signal.SIGTERM)
    first.ends(60)
