"""A run on one screen: no line too long, no error swallowed, plain lines without a terminal; and a run elsewhere."""

import fcntl
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from rich.cells import cell_len

from conftest import ROOT
from smdl import cli
from smdl.llc.estimate import estimate
from smdl.llc.saved import so_far
from smdl.llc.settings import Gates
from smdl.llc.state import StateStore
from smdl.runtime.progress import DONE, FAILED, LEFT, RUNNING, followed
from smdl.runtime.screen import Chains, screen, summed
from workflow import SNAKEMAKE, small_config

COLUMNS, LINES = 80, 24
DRAWS = "results/small/draws/published/tiny/step10/block0.parquet"
LOG = "results/small/logs/llc_chains/published/tiny/step10/block0.log"
CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def in_a_terminal(folder: Path, command: list[str], stop_at: str = "") -> tuple[int, str]:
    """Run ``command`` in a terminal, with Ctrl-C once it shows ``stop_at``; its exit status and all that it wrote."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    process = subprocess.Popen(
        command, cwd=folder, stdin=its, stdout=its, stderr=its, start_new_session=True, preexec_fn=_controlled
    )
    os.close(its)
    shown = b""
    try:
        while part := _read(ours):
            shown += part
            if stop_at and stop_at.encode() in shown:
                stop_at = ""
                os.write(ours, b"\x03")
        return process.wait(timeout=60), shown.decode().replace("\r\n", "\n")
    finally:
        process.kill()
        os.close(ours)


def _controlled() -> None:
    # Tests that run in the background of a shell ignore SIGINT, and that would be inherited.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:
        # Nobody writes to it any more.
        return b""


@pytest.fixture(scope="module")
def broken(small_study, tmp_path_factory) -> Path:
    """A study whose sampler is now set so that its chains fail."""
    folder = shutil.copytree(small_study, tmp_path_factory.mktemp("screen"), dirs_exist_ok=True)
    config = small_config()
    config["llc"] |= {"lr": 1e30, "gamma": 0.0, "control": False}
    (folder / "config.broken.yaml").write_text(yaml.safe_dump(config))
    return folder


def command(*more: str) -> list[str]:
    line = [SNAKEMAKE, "--snakefile", str(ROOT / "Snakefile"), "--profile", str(ROOT / "profiles/local")]
    return [
        *line,
        "--configfile",
        "config.broken.yaml",
        "--logger",
        "smdl",
        *more,
        "--",
        DRAWS,
        "results/small/config.yaml",
    ]


def test_a_failed_job_is_told_in_a_terminal_within_its_width(broken):
    status, shown = in_a_terminal(broken, command())
    assert status == 1
    lines = CONTROLS.sub("", shown).splitlines()
    # The line before Snakemake starts its logger is its own.
    assert not [line for line in lines if cell_len(line) > COLUMNS and not line.startswith("Using profile")]
    told = " ".join(" ".join(lines).split())
    assert "failed: job" in told and f"its log {LOG} ends with" in told
    assert "error: chain 0 left the finite losses at step" in told and "lower lr (now 1e+30)" in told
    # Drawn in place, and not more of it than the terminal has lines.
    back = [int(number) for number in re.findall(r"\x1b\[(\d+)F", shown)]
    assert back and max(back) < LINES
    last = CONTROLS.split(shown)[-1]
    assert "1 of 2 jobs done, 1 failed" in last and f"log: {LOG}" in last


def test_without_a_terminal_plain_lines_with_times(broken):
    (broken / "results/small/config.yaml").unlink()
    run = subprocess.run(command(), cwd=broken, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert run.returncode == 1
    assert "\x1b" not in run.stderr
    assert re.search(r"^\d\d:\d\d:\d\d 2 jobs of 2 rules$", run.stderr, re.MULTILINE)
    assert re.search(r"^\d\d:\d\d:\d\d settings: all 1 done; ", run.stderr, re.MULTILINE)
    assert re.search(r"^\d\d:\d\d:\d\d failed: job \d+, llc_chains draws/", run.stderr, re.MULTILINE)
    assert f"its log {LOG} ends with" in run.stderr and "lower lr (now 1e+30)" in run.stderr
    assert len(run.stderr.splitlines()) < LINES


def test_a_dry_run_is_listed_as_ever_and_a_bad_config_is_told(broken):
    listed = subprocess.run(command("--dry-run"), cwd=broken, capture_output=True, text=True)
    assert listed.returncode == 0 and "rule llc_chains:" in listed.stdout + listed.stderr
    (broken / "config.wrong.yaml").write_text("llc: {chains: 1}\n")
    wrong = command("--configfile", "config.wrong.yaml")
    refused = subprocess.run(wrong, cwd=broken, capture_output=True, text=True)
    assert refused.returncode == 1 and "llc.chains: " in refused.stderr


def many(names: str = "rule") -> pd.DataFrame:
    """Jobs of sixty rules in all states."""
    rows = []
    for rule in range(60):
        for job in range(8):
            state = LEFT if rule > 40 else (DONE, RUNNING, FAILED, LEFT)[job % 4] if rule > 5 else DONE
            outputs = (f"results/small/draws/{names}{rule}/{job}.parquet",)
            seconds = 2.0 if state == DONE else None
            row = {"rule": f"{names}{rule}", "model": "", "state": state, "outputs": outputs, "log": "gone.log"}
            rows.append(row | {"seconds": seconds, "elapsed": 5.0 if state == RUNNING else 0.0})
    return pd.DataFrame(rows)


@pytest.mark.parametrize(("width", "height"), [(79, 23), (50, 15), (200, 60)])
@pytest.mark.parametrize("names", ["rule", "a_rule_of_a_rather_long_name_", "长的名字"])
def test_any_study_fits_any_terminal(width, height, names):
    lines = screen(many(names), width, height, "12 s: ", [f"warning {number}" for number in range(9)])
    assert len(lines) <= height
    assert max(map(cell_len, lines)) <= width
    assert lines[0].startswith("12 s: 118 of 480 jobs done, 70 running")


def test_the_time_left_is_that_of_the_measured_jobs_over_those_at_a_time():
    rows = {"model": "", "outputs": (), "log": ""}
    jobs = pd.DataFrame(
        [
            {"rule": "a", "state": DONE, "seconds": 100.0, "elapsed": 0.0} | rows,
            {"rule": "a", "state": RUNNING, "seconds": None, "elapsed": 40.0} | rows,
            {"rule": "a", "state": RUNNING, "seconds": None, "elapsed": 20.0} | rows,
            {"rule": "a", "state": LEFT, "seconds": None, "elapsed": 0.0} | rows,
        ]
    )
    assert summed(jobs) == "1 of 4 jobs done, 2 running; about 2 min 00 s left"
    assert summed(jobs, at_once=1).endswith("about 4 min 00 s left")
    assert any(re.match(r"a +1/4 #+\.+ +2 +100\.0 s +2 min 00 s$", line) for line in screen(jobs, 79, 23))


@pytest.fixture
def stopped(small_study, tmp_path, monkeypatch) -> tuple[Path, pd.DataFrame]:
    """A study of which one chain job is gone, its state saved, where the process now is; and the draws of that job."""
    shutil.copytree(small_study, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    draws = pd.read_parquet(DRAWS)
    Path(DRAWS).unlink()
    return tmp_path, draws


def save(draws: pd.DataFrame) -> None:
    rows = draws[["kind", "chain", "draw", "loss", "baseline", "excess_se", "distance"]].to_numpy(dtype=object).tolist()
    store = StateStore(f"{DRAWS}.state", "a digest", 0)
    store.save({"chain": 0, "step": 0, "rows": rows[:1]})
    store.save({"chain": 1, "step": 3, "rows": rows}, {"weights": torch.zeros(1000)})


def test_a_saved_state_tells_draws_llc_and_r_hat_so_far(stopped):
    _, draws = stopped
    save(draws)
    whole = estimate(draws, 30, Gates())
    found = so_far(Path(f"{DRAWS}.state"), 30)
    assert (found.draws, found.llc, found.r_hat) == pytest.approx((16, whole["llc_plain"], whole["r_hat"]))
    told = f"16 of 16 draws, LLC {whole['llc_plain']:.4g}, R-hat {whole['r_hat']:.3f} (saved "
    assert Chains().note((DRAWS,)).startswith(told)
    # In its second chain: all draws count, and R-hat is that of the halves of the first.
    begun = draws[(draws["chain"] == 0) | (draws["draw"] < 3)]
    save(begun)
    found = so_far(Path(f"{DRAWS}.state"), 30)
    kept = begun[(begun["kind"] == "posterior") & (begun["draw"] >= 0)]
    assert found.draws == 11
    assert found.llc == pytest.approx(30 * (kept["loss"] - kept["baseline"]).mean())
    assert np.isfinite(found.r_hat)


def test_a_state_that_tells_nothing_yet_and_none_at_all(stopped):
    _, draws = stopped
    assert so_far(Path(f"{DRAWS}.state"), 30) is None and Chains().note((DRAWS,)) == ""
    save(draws[draws["draw"] < 0])
    assert so_far(Path(f"{DRAWS}.state"), 30).draws == 0
    for torn in Path(f"{DRAWS}.state").iterdir():
        torn.write_bytes(torn.read_bytes()[:20])
    assert so_far(Path(f"{DRAWS}.state"), 30) is None


def test_a_job_that_ended_is_followed_without_a_plan(stopped, small_study):
    row = {"rule": "llc_chains", "model": "tiny", "state": RUNNING, "outputs": (DRAWS,), "log": LOG}
    jobs, since = pd.DataFrame([row | {"seconds": None, "elapsed": 3.0}]), time.time()
    assert followed(jobs, since)["state"].tolist() == [LEFT]
    shutil.copyfile(small_study / DRAWS, DRAWS)
    assert followed(jobs, since - 1)["state"].tolist() == [DONE]
    # One from before the plan is not what was planned.
    assert followed(jobs, since + 3600)["state"].tolist() == [LEFT]


def test_a_study_that_stopped_is_watched_until_ctrl_c(stopped):
    folder, draws = stopped
    save(draws)
    # Of a study that is done Snakemake does not miss the draws.
    Path("results/small/tables/llc.parquet").unlink()
    watch = [sys.executable, "-P", "-m", "smdl.cli", "status", "--watch", "--interval", "1", "results/small"]
    status, shown = in_a_terminal(folder, watch, stop_at="R-hat")
    assert status == cli.INTERRUPTED
    lines = CONTROLS.sub("", shown).splitlines()
    assert max(map(cell_len, lines)) <= COLUMNS and "Traceback" not in shown
    assert any(line.startswith("stopped: llc_chains draws/published/tiny/step10") for line in lines)
    assert any(line.startswith("  16 of 16 draws, LLC ") for line in lines)
    assert any(re.match(r"llc_chains +2/3 ", line) for line in lines)


def test_watching_a_finished_study_ends(small_study, monkeypatch, capsys):
    monkeypatch.chdir(small_study)
    assert cli.main(["status", "--watch", "results/small"]) == 0
    assert re.fullmatch(r"\d\d:\d\d:\d\d (\d+) of \1 jobs done\n", capsys.readouterr().out)


def test_an_interval_is_a_time(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["status", "--watch", "--interval", "0", "results/small"])
    assert end.value.code == 2 and "0 is no time: give seconds, above 0" in capsys.readouterr().err


def test_what_every_start_of_snakemake_imports_is_light():
    code = (
        "import sys, smdl.runtime.watch, snakemake_logger_plugin_smdl;"
        "print(sorted({'torch', 'scipy', 'arviz_stats'} & set(sys.modules)))"
    )
    started = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert started.stdout.strip() == "[]", started.stderr
