"""``smdl status --watch``: the screen of a run that another terminal, or another machine on the same disk, started."""

import time
from pathlib import Path
from typing import TextIO

import pandas as pd

from smdl.runtime.progress import DONE, RUNNING, followed, progress
from smdl.runtime.screen import Chains, Terminal, clock, screen, summed, warnings_of

# After so long, and where a run seems to be at its end, Snakemake is asked again: it knows what has changed meanwhile.
PLAN_SECONDS = 300.0


def watch(study: Path, interval: float, at_once: int | None, stream: TextIO) -> None:
    """Draw the study in the folder ``study`` on ``stream`` every ``interval`` seconds, until all its jobs are done.

    Where ``stream`` is no terminal it is a line each time. Raises StudyError where Snakemake cannot plan the study.
    """
    terminal = Terminal(stream) if stream.isatty() else None
    chains, warned = Chains(), _Warned()
    planned_at, jobs = _planned(study)
    while True:
        warnings = warned.of(jobs)
        if terminal:
            terminal.draw(screen(jobs, *terminal.size, f"{clock()} {study.name}: ", warnings, chains, at_once))
        else:
            stream.write(f"{clock()} {summed(jobs, at_once)}\n")
            stream.flush()
        if (jobs["state"] == DONE).all():
            return
        time.sleep(interval)
        ran = (jobs["state"] == RUNNING).any()
        jobs = followed(jobs, planned_at)
        stopped = ran and not (jobs["state"] == RUNNING).any()
        if stopped or (jobs["state"] == DONE).all() or time.time() - planned_at > PLAN_SECONDS:
            planned_at, jobs = _planned(study)


def _planned(study: Path) -> tuple[float, pd.DataFrame]:
    return time.time(), progress(study)


class _Warned:
    """Warnings in the logs of jobs that are done; each log is read once."""

    def __init__(self):
        self._read: set[str] = set()
        self._found: dict[str, None] = {}

    def of(self, jobs: pd.DataFrame) -> list[str]:
        for job in jobs[jobs["state"] == DONE].itertuples():
            if job.log not in self._read:
                self._read.add(job.log)
                self._found |= dict.fromkeys(f"{job.rule}: {said}" for said in warnings_of(job.log))
        return list(self._found)
