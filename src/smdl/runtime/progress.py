"""How far a study is: what is done, running, failed and left, and how long the rest will take.

Everything is read from what Snakemake and the jobs leave on disk, so that a study may be looked at while it runs, from
another terminal or after it stopped.
"""

import base64
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pandas as pd
import yaml

from smdl.foundation.errors import StudyError
from smdl.foundation.names import printable
from smdl.runtime.dry_run import PlannedJob, planned
from smdl.runtime.installed import workflow_folder
from smdl.tables import read_provenance

DONE, RUNNING, FAILED, LEFT = "done", "running", "failed", "left"
STATES = [DONE, RUNNING, FAILED, LEFT]


def enter(study: Path) -> Path:
    """Go to the folder that Snakemake ran in for a study, where its paths hold; the study's folder as seen from there.

    Raises StudyError where no study has begun in the folder ``study``, and where it is not in the place it was made in.
    """
    if not study.is_dir():
        raise StudyError(f"{study} is no folder: give the folder of a study's results, results/<study>")
    config = study / "config.yaml"
    if not config.is_file():
        raise StudyError(f"{study} holds no config.yaml: no study has begun there")
    # Not resolved: results may be a link to a larger disk.
    here = Path(os.path.abspath(study))
    made_in = Path("results", _name(config))
    if here.parts[-2:] != made_in.parts:
        raise StudyError(f"{study} was made as {made_in} and moved: move it back, Snakemake knows it by that name only")
    os.chdir(here.parents[1])
    return made_in


def _name(config: Path) -> str:
    """The name of the study whose written configuration is the file ``config``."""
    try:
        written = yaml.safe_load(config.read_text())
    except (yaml.YAMLError, UnicodeDecodeError):
        written = None
    if not isinstance(written, dict) or not isinstance(written.get("study"), str):
        raise StudyError(f"{config} is damaged: it names no study; delete it and run the study again")
    return written["study"]


def snakemake(study: Path, *arguments: str) -> str:
    """Run Snakemake on the study in the folder ``study``, with the config that is written there; its standard output.

    No lock is taken and no job is run unless ``arguments`` say so. Raises StudyError with Snakemake's reason.
    """
    config, workflow = study / "config.yaml", workflow_folder()
    command = [sys.executable, "-m", "snakemake", "--nolock", "--snakefile", str(workflow / "Snakefile")]
    command += ["--profile", str(workflow / "profiles/local"), "--configfile", str(config), *arguments]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise StudyError(f"Snakemake cannot plan the study of {config}: {reason(run.stdout, run.stderr)}")
    return run.stdout


def reason(output: str, errors: str) -> str:
    """Why Snakemake failed, from its standard output, where a dry run says it, and its standard error.

    What the workflow's own checks say stands last in ``errors``, as ``the configuration is not right`` and its lines.
    """
    text = f"{output}\n{errors}"
    system = re.findall(r"^OSError: \[Errno \d+\] (.+)$", text, flags=re.MULTILINE)
    if system:
        return system[-1]
    raised = re.search(r"^\w*(?:Exception|Error)\b.*:\n(?:Error:\n)?((?:.+\n?)+)", text, flags=re.MULTILINE)
    if raised:
        why = re.split(r"^(?:Wildcards|Traceback):", raised[1], flags=re.MULTILINE)[0]
        return " ".join(why.split()).removeprefix("SystemExit: error: ")
    lines = [line for line in errors.splitlines() if line and not line.startswith("Using profile ")]
    return "\n".join(lines[-5:]) or "it ended without a word"


def begun(state: Path) -> dict[str, float]:
    """Outputs of the jobs that run now, with the time (s since the epoch) when each began.

    ``state`` is Snakemake's own folder. A job is running where Snakemake has marked its output as incomplete and a
    process still holds the lock on it; after a crash the marks stay, without a lock once it is removed. Both may go
    while they are read.
    """
    locked, names = set(), {}
    for path in state.glob("locks/*.output.lock"):
        with suppress(FileNotFoundError):
            locked |= set(path.read_text().split("\n"))
    for path in state.glob("incomplete/**/*"):
        with suppress(FileNotFoundError):
            if path.is_file():
                names[_decoded(path.relative_to(state / "incomplete"))] = path.stat().st_mtime
    return {name: start for name, start in names.items() if name in locked}


def _decoded(mark: Path) -> str:
    """Snakemake's file name for a mark: the output's path in base 64, long ones in folders that begin with @."""
    return base64.urlsafe_b64decode("".join(part.removeprefix("@") for part in mark.parts)).decode()


def failures(state: Path) -> set[str]:
    """Outputs of the jobs that failed, in any run that Snakemake has a log of."""
    text = "\n".join(path.read_text(errors="replace") for path in state.glob("log/*.snakemake.log"))
    found = re.findall(r"^Error in rule \w+:\n(?:    .*\n)*?    output: (.*)$", text, flags=re.MULTILINE)
    return {output for outputs in found for output in outputs.split(", ")}


def progress(study: Path, state: Path = Path(".snakemake")) -> pd.DataFrame:
    """One row per job: rule, model, state, outputs, log, seconds as last measured, elapsed seconds of a running one.

    To be called where Snakemake ran (``enter``).
    """
    with ThreadPoolExecutor() as pool:
        plans = pool.map(lambda more: planned(snakemake(study, "--dry-run", *more)), ([], ["--forceall"]))
    # Target rules make no file.
    unfinished, everything = ([job for job in plan if job.outputs] for plan in plans)
    pending = {job.outputs for job in unfinished}
    running, failed = begun(state), failures(state)
    rows = []
    for job in everything:
        now = _state(job, job.outputs in pending, running, failed)
        start = min((running[output] for output in job.outputs if output in running), default=None)
        rows.append(
            {
                "rule": job.rule,
                "model": job.model,
                "state": now,
                "outputs": job.outputs,
                "log": job.log,
                "seconds": wall_seconds(job.outputs),
                "elapsed": time.time() - start if start else 0.0,
            }
        )
    return pd.DataFrame(rows)


def _state(job: PlannedJob, pending: bool, running: dict[str, float], failed: set[str]) -> str:
    if not running.keys().isdisjoint(job.outputs):
        return RUNNING
    if not pending:
        return DONE
    gone = not any(Path(output).exists() for output in job.outputs)
    return FAILED if gone and not failed.isdisjoint(job.outputs) else LEFT


def followed(jobs: pd.DataFrame, since: float, state: Path = Path(".snakemake")) -> pd.DataFrame:
    """``jobs`` of a plan that was begun at the time ``since`` (s since the epoch), as they are now.

    Nothing is planned again, which would take seconds of the machine that runs them: a job is done where all its
    outputs are there, made since then, and none is being made.
    """
    running, failed = begun(state), failures(state)
    now = jobs.copy()
    for row in jobs[jobs["state"] != DONE].itertuples():
        job = PlannedJob(row.rule, row.model, row.outputs, row.log)
        whole = all(_made_since(output, since) for output in row.outputs)
        found = _state(job, not whole, running, failed)
        start = min((running[output] for output in row.outputs if output in running), default=None)
        now.loc[row.Index, "state"] = found
        now.loc[row.Index, "elapsed"] = time.time() - start if start else 0.0
        if found == DONE:
            now.loc[row.Index, "seconds"] = wall_seconds(row.outputs)
    return now


def _made_since(output: str, since: float) -> bool:
    try:
        return Path(output).stat().st_mtime >= since
    except FileNotFoundError:
        return False


def wall_seconds(outputs: tuple[str, ...]) -> float | None:
    """Wall time of a job from the provenance in the Parquet files it wrote; None where they tell none."""
    found = []
    for output in outputs:
        # A job that begins takes its older outputs away.
        with suppress(FileNotFoundError):
            if output.endswith(".parquet"):
                found.append(read_provenance(output).get("wall_seconds"))
    return max((seconds for seconds in found if seconds is not None), default=None)


def remaining(jobs: pd.DataFrame) -> pd.Series:
    """Seconds that each unfinished job still needs, as its like have taken: NaN where nothing like it was measured.

    Its like are the jobs of the same rule and model that were once finished, or, without those, of the same rule.
    """
    done = jobs.dropna(subset=["seconds"]).astype({"seconds": float})
    open_jobs = jobs[jobs["state"] != DONE]
    near = open_jobs.join(done.groupby(["rule", "model"])["seconds"].median().rename("near"), on=["rule", "model"])[
        "near"
    ]
    far = open_jobs["rule"].map(done.groupby("rule")["seconds"].median())
    return (near.fillna(far) - open_jobs["elapsed"]).clip(lower=0)


def last_lines(log: str, count: int) -> list[str]:
    """The last lines of a log that hold anything; a progress bar's later states replace its earlier ones.

    Every line is one for all who split text into lines, and holds nothing that steers a terminal.
    """
    path = Path(log)
    if not log or not path.is_file():
        return []
    text = path.read_bytes().decode(errors="replace").replace("\r\n", "\n")
    kept = "\n".join(line.rsplit("\r", 1)[-1] for line in text.split("\n"))
    lines = [printable(line).rstrip() for line in kept.splitlines()]
    return [line for line in lines if line][-count:]


def told(jobs: pd.DataFrame, at_once: int | None = None) -> str:
    """``jobs`` as text: a line per rule, the time left, what runs and what failed.

    ``at_once`` jobs are taken to run side by side; by default as many as run now.
    """
    counts = (
        jobs.groupby(["rule", "state"], sort=False).size().unstack(fill_value=0).reindex(columns=STATES, fill_value=0)
    )
    seconds = remaining(jobs)
    work = seconds.groupby(jobs["rule"]).sum()
    each = jobs.groupby("rule")["seconds"].median()
    width = max(len("total"), *map(len, counts.index))
    lines = [f"{'rule':{width}} {' '.join(f'{name:>8}' for name in STATES)} {'s a job':>9} {'h left':>8}"]
    for rule, row in counts.iterrows():
        unknown = seconds[jobs["rule"].reindex(seconds.index) == rule].isna().any()
        time_left = "?" if unknown else f"{work.get(rule, 0) / 3600:.2f}"
        one = "" if pd.isna(each[rule]) else f"{each[rule]:.1f}"
        lines.append(f"{rule:{width}} {' '.join(f'{n:8}' for n in row)} {one:>9} {time_left:>8}")
    lines.append(f"{'total':{width}} {' '.join(f'{n:8}' for n in counts.sum())} {'':9} {seconds.sum() / 3600:8.2f}")
    return "\n".join([*lines, "", *_time_left(jobs, seconds, at_once), *_details(jobs)])


def _time_left(jobs: pd.DataFrame, seconds: pd.Series, at_once: int | None) -> list[str]:
    if not len(seconds):
        return ["Everything is done."]
    at_once = at_once or max(int((jobs["state"] == RUNNING).sum()), 1)
    hours = seconds.sum() / 3600
    lines = [f"{hours:.2f} hours of work are left: {hours / at_once:.2f} hours with {at_once} at a time."]
    unmeasured = sorted(set(jobs.loc[seconds.index[seconds.isna()], "rule"]))
    if unmeasured:
        lines.append(f"Not counted, for want of a measured job: {', '.join(unmeasured)}.")
    return lines


def _details(jobs: pd.DataFrame) -> list[str]:
    lines = []
    for _, job in jobs[jobs["state"] == RUNNING].iterrows():
        lines += ["", f"running for {job['elapsed'] / 60:.1f} min: {job['rule']} ({job['log']})"]
        lines += [f"    {line}" for line in last_lines(job["log"], 1)]
    for _, job in jobs[jobs["state"] == FAILED].iterrows():
        lines += ["", f"failed: {job['rule']}; its log is {job['log']} and ends with"]
        lines += [f"    {line}" for line in last_lines(job["log"], 5)]
    return lines
