"""Snakemake's logger ``smdl`` (``snakemake --logger smdl``): a run on one screen, or a line now and then.

Snakemake finds it by its name. Its own full log stays in .snakemake/log.
"""

import logging
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from smdl.runtime.progress import DONE, FAILED, LEFT, RUNNING
from smdl.runtime.screen import (
    Chains,
    Terminal,
    clock,
    duration,
    failure,
    folded,
    name_of,
    screen,
    summed,
    warnings_of,
)

DRAW_SECONDS, LINE_SECONDS = 1.0, 60.0
# What Snakemake says beside its events that a user must see.
SAID = ("Nothing to be done", "Complete log", "Trying to restart", "Will exit after")


class LogHandler(LogHandlerBase):
    """Shows what Snakemake tells of its jobs."""

    writes_to_stream = True
    writes_to_file = False
    has_formatter = False
    needs_rulegraph = False

    @property
    def has_filter(self) -> bool:
        """Nothing is filtered, whatever ``--quiet`` says, except from a dry run, which is shown as Snakemake has it."""
        return not self.common_settings.dryrun

    def __post_init__(self) -> None:
        stream = sys.stdout if self.common_settings.stdout else sys.stderr
        self._stream = stream
        self._terminal = Terminal(stream) if stream.isatty() else None
        self._began = self._told = time.monotonic()
        self._counts: dict[str, int] = {}
        self._jobs: dict[int, dict[str, Any]] = {}
        self._warnings: dict[str, None] = {}
        self._chains = Chains()
        self._ended = threading.Event()
        if not self.common_settings.dryrun:
            threading.Thread(target=self._keep_up, daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record in; called with this handler's lock held."""
        try:
            if self.common_settings.dryrun:
                said = self.format(record)
                lines = [said] if said and said != "None" else []
            else:
                lines = self._taken(record)
            if lines:
                self._say(lines)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Draw for the last time."""
        with self.lock:
            if not self._ended.is_set():
                self._ended.set()
                if self._jobs:
                    self._say([] if self._terminal else [f"{clock()} {self._title()}{summed(self._table())}"])
        super().close()

    def _keep_up(self) -> None:
        """In a thread of its own: draw again every second, or say a line every minute."""
        while not self._ended.wait(DRAW_SECONDS):
            with self.lock:
                if self._ended.is_set() or not self._counts:
                    continue
                if self._terminal:
                    self._say([])
                elif time.monotonic() - self._told > LINE_SECONDS:
                    self._say([f"{clock()} {summed(self._table())}"])

    def _say(self, lines: list[str]) -> None:
        """Write ``lines`` to stay, above the screen where there is one."""
        if self._terminal and not self.common_settings.dryrun:
            shown = []
            if self._counts:
                warnings = list(self._warnings)
                shown = screen(self._table(), *self._terminal.size, self._title(), warnings, self._chains)
            self._terminal.draw(shown, lines)
        elif lines:
            self._stream.write("".join(f"{line}\n" for line in lines))
            self._stream.flush()
            self._told = time.monotonic()

    def _title(self) -> str:
        return f"{duration(time.monotonic() - self._began)}: "

    @property
    def _width(self) -> int | None:
        return self._terminal.size[0] if self._terminal else None

    def _taken(self, record: logging.LogRecord) -> list[str]:
        """The lines that a record gives rise to."""
        event = getattr(record, "event", None)
        if event == LogEvent.RUN_INFO:
            self._counts = {rule: count for rule, count in record.stats.items() if rule != "total"}
            total = sum(self._counts.values())
            return [] if self._terminal else [f"{clock()} {total} jobs of {len(self._counts)} rules"]
        if event == LogEvent.JOB_INFO:
            self._jobs[record.jobid] = {
                "rule": record.rule_name,
                "model": dict(record.wildcards.items()).get("model", ""),
                "state": RUNNING,
                "outputs": tuple(record.output),
                "log": (*record.log, "")[0],
                "began": time.monotonic(),
                "seconds": None,
            }
            return []
        if event == LogEvent.JOB_FINISHED:
            return self._finished(record.job_id)
        if event == LogEvent.JOB_ERROR:
            return self._broken(record)
        message = record.getMessage().replace(f"{Path.cwd()}/", "")
        if event is None and record.levelno < logging.WARNING and not message.startswith(SAID):
            return []
        # The failed job itself says it, with its log.
        if event == LogEvent.ERROR and "\nCalledProcessError in file " in message:
            return []
        if event in (None, LogEvent.GROUP_ERROR, LogEvent.ERROR) and record.levelno >= logging.INFO:
            if record.levelno == logging.WARNING:
                return self._warn(" ".join(message.split()))
            said = self.format(record) if event == LogEvent.GROUP_ERROR else message
            return folded(said, self._width)
        return []

    def _finished(self, number: int) -> list[str]:
        job = self._jobs.get(number)
        if job is None:
            return []
        job |= {"state": DONE, "seconds": time.monotonic() - job["began"]}
        lines = [line for said in warnings_of(job["log"]) for line in self._warn(f"{job['rule']}: {said}")]
        own = [other for other in self._jobs.values() if other["rule"] == job["rule"]]
        if self._terminal is None and sum(other["state"] == DONE for other in own) == self._counts.get(job["rule"]):
            lines.append(f"{clock()} {job['rule']}: all {len(own)} done; {summed(self._table())}")
        return lines

    def _broken(self, record: logging.LogRecord) -> list[str]:
        job = self._jobs.get(record.jobid)
        # Snakemake says it again at its end.
        if job is not None and job["state"] == FAILED:
            return []
        if job is not None:
            job["state"] = FAILED
        more = [f"{name}: {value}" for name, value in record.aux.items()]
        if record.shellcmd:
            more.append(f"command: {record.shellcmd}")
        message = "\n".join([record.rule_msg or "", *more])
        name = name_of(record.rule_name, record.output)
        return failure(f"job {record.jobid}, {name}", message, record.log, self._width)

    def _warn(self, text: str) -> list[str]:
        """Keep a warning for the screen; each is said once."""
        known = text in self._warnings
        self._warnings[text] = None
        return [] if known or self._terminal else [f"{clock()} warning: {text}"]

    def _table(self) -> pd.DataFrame:
        """Jobs in the order of Snakemake's count of them, as ``smdl.runtime.progress.progress`` has them."""
        now, rows, begun = time.monotonic(), [], {}
        for job in self._jobs.values():
            begun.setdefault(job["rule"], []).append(job)
        for rule, count in self._counts.items():
            own = begun.get(rule, [])
            rows += [{**job, "elapsed": now - job["began"] if job["state"] == RUNNING else 0.0} for job in own]
            to_come = {"rule": rule, "model": "", "state": LEFT, "outputs": (), "log": "", "elapsed": 0.0}
            rows += [to_come | {"seconds": None}] * max(count - len(own), 0)
        return pd.DataFrame(rows)
