"""A study on one screen: progress of its rules, what runs, warnings, failures; or a line where there is no terminal.

Jobs are a table as ``smdl.runtime.progress.progress`` gives it.
"""

import os
import textwrap
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd
from rich.cells import cell_len, set_cell_size

from smdl.foundation.errors import StudyError
from smdl.foundation.names import printable
from smdl.llc.settings import sampler_of
from smdl.runtime.progress import DONE, FAILED, LEFT, RUNNING, STATES, last_lines, remaining
from smdl.settings.config import settings
from smdl.settings.configfile import load
from smdl.study.study import Study

# Of what has no end, so many lines are shown.
SOME = 3
OF_LOG = 10


class Terminal:
    """The last lines of a terminal, drawn again in place; what is written above them stays."""

    def __init__(self, stream: TextIO):
        self.stream = stream
        self._drawn = 0

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines that may be filled: nothing is wrapped, and nothing scrolls."""
        try:
            columns, lines = os.get_terminal_size(self.stream.fileno())
        except (OSError, ValueError):
            columns, lines = 0, 0
        # A terminal that does not know its size says that it has none.
        return (columns or 80) - 1, (lines or 24) - 1

    def draw(self, lines: Sequence[str], above: Sequence[str] = ()) -> None:
        """Draw ``lines`` in the place of those before; ``above`` is written over them, to stay."""
        back = f"\x1b[{self._drawn}F" if self._drawn else ""
        self.stream.write(f"{back}\x1b[J" + "".join(f"{line}\n" for line in [*above, *lines]))
        self.stream.flush()
        self._drawn = len(lines)


class Chains:
    """What the saved states of a study's chain jobs say."""

    def __init__(self):
        self._studies: dict[Path, Study | None] = {}

    def note(self, outputs: Sequence[str]) -> str:
        """Draws, LLC and R-hat so far of the job that makes ``outputs``; empty where no state tells them."""
        path = Path(*outputs[:1])
        parts = path.parts
        # results/<study>/draws/<setting>/<model>/step<n>/block<n>.parquet, and restricted/ likewise.
        if len(parts) < 7 or parts[2] not in ("draws", "restricted"):
            return ""
        study = self._study(Path(*parts[:2]))
        if study is None or parts[3] not in study.llc.settings or parts[4] not in study.models:
            return ""
        its = sampler_of(study.llc, study.models[parts[4]].llc, parts[3])
        # Every start of Snakemake imports this module, and only a look at a chain needs what comes with its statistics.
        from smdl.llc.saved import so_far

        found = so_far(path.with_name(f"{path.name}.state"), its.n_beta)
        if found is None:
            return ""
        block = path.stem.removeprefix("block")
        chains = its.chains_per_job
        if block.isdigit():
            chains = max(min(chains, its.chains - int(block) * chains), 1)
        total = chains * its.draws
        # A run with another config may not have written it yet.
        told = f"{found.draws} of {total} draws" if found.draws <= total else f"{found.draws} draws"
        told += f", LLC {found.llc:.4g}" if np.isfinite(found.llc) else ""
        told += f", R-hat {found.r_hat:.3f}" if np.isfinite(found.r_hat) else ""
        return f"{told} (saved {duration(max(time.time() - found.saved, 0))} ago)"

    def _study(self, folder: Path) -> Study | None:
        config = folder / "config.yaml"
        if folder not in self._studies and config.is_file():
            try:
                self._studies[folder] = settings(load(config), Study)
            except StudyError:
                # That of an experiment.
                self._studies[folder] = None
        return self._studies.get(folder)


def duration(seconds: float) -> str:
    """A time in words: two units of it at most."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def clock() -> str:
    return time.strftime("%H:%M:%S")


def name_of(rule: str, outputs: Sequence[str]) -> str:
    """What tells a job from others: its rule, and its first output as seen from the study's folder."""
    parts = Path(*outputs[:1]).parts
    return f"{rule} {'/'.join(parts[2:] if parts[:1] == ('results',) else parts)}".strip()


def fitted(line: str, width: int) -> str:
    """``line`` as one that is no wider than ``width`` columns."""
    line = printable(line).rstrip()
    return line if cell_len(line) <= width else set_cell_size(line, width - 3) + "..."


def folded(text: str, width: int | None, indent: str = "") -> list[str]:
    """``text`` in lines of ``width`` columns, or in its own lines where that is None; nothing is left out."""
    lines = [indent + printable(line).rstrip() for line in text.splitlines() if line.strip()]
    if width is None:
        return lines
    inner = {"width": width, "subsequent_indent": indent, "break_on_hyphens": False}
    return [part for line in lines for part in textwrap.wrap(line, **inner)]


def warnings_of(log: str) -> list[str]:
    """The lines of a job's log that begin with ``warning:``, without that."""
    try:
        text = Path(log).read_text(errors="replace") if log else ""
    except OSError:
        return []
    starts = [line for line in text.replace("\r", "\n").splitlines() if line.lower().startswith("warning:")]
    return [printable(line[len("warning:") :]).strip() for line in starts]


def summed(jobs: pd.DataFrame, at_once: int | None = None) -> str:
    """How many jobs are done, run and failed, and the time left, in a line."""
    counts = jobs["state"].value_counts().reindex(STATES, fill_value=0)
    told = f"{counts[DONE]} of {len(jobs)} jobs done"
    if counts[RUNNING]:
        told += f", {counts[RUNNING]} running"
    if counts[FAILED]:
        told += f", {counts[FAILED]} failed"
    seconds = remaining(jobs)
    if counts[LEFT] + counts[RUNNING] and seconds.notna().any():
        unknown = "at least" if seconds.isna().any() else "about"
        told += f"; {unknown} {duration(seconds.sum() / _at_once(jobs, at_once))} left"
    return told


def screen(
    jobs: pd.DataFrame,
    width: int,
    height: int,
    title: str = "",
    warnings: Sequence[str] = (),
    chains: Chains | None = None,
    at_once: int | None = None,
) -> list[str]:
    """``jobs`` in at most ``height`` lines of at most ``width`` columns: the most telling ones where not all fit."""
    head = [f"{title}{summed(jobs, at_once)}"]
    chains = chains or Chains()
    foot = [*_running(jobs, chains, height // 3), *_stopped(jobs, chains), *_failed(jobs), *_warned(warnings)]
    # Beside the rules that have begun: a heading, those that are more, those done, those to come.
    rules = _rules(jobs, width, max(height - len(head) - len(foot) - 3 - SOME, 1), at_once)
    return [fitted(line, width) for line in [*head, *rules, *foot]][:height]


def _at_once(jobs: pd.DataFrame, given: int | None) -> int:
    return given or max(int((jobs["state"] == RUNNING).sum()), 1)


def _rules(jobs: pd.DataFrame, width: int, room: int, at_once: int | None) -> Iterator[str]:
    """A line per rule that has begun and is not done; how many are done; those to come, with the number of their jobs.

    A rule of which nothing was measured yet has "?" for its time left.
    """
    counts = jobs.groupby(["rule", "state"], sort=False).size().unstack(fill_value=0)
    counts = counts.reindex(columns=STATES, fill_value=0)
    total = counts.sum(axis=1)
    done, begun = counts[DONE] == total, counts[LEFT] < total
    left = remaining(jobs).groupby(jobs["rule"]).agg(lambda seconds: seconds.sum(skipna=False))
    each = jobs.groupby("rule")["seconds"].median()
    shown = counts.index[begun & ~done]
    wide = max([len("rule"), *map(len, shown)])
    bar = min(max(width - wide - 50, 4), 30)
    if len(shown):
        yield f"{'rule':{wide}} {'done':>9} {'':{bar}} {'running':>7} {'failed':>6} {'a job':>9} {'left':>13}"
    for rule in shown[:room]:
        row = counts.loc[rule]
        one = "" if pd.isna(each[rule]) else f"{each[rule]:.1f} s"
        needs = "?" if pd.isna(left[rule]) else duration(left[rule] / _at_once(jobs, at_once))
        ratio, filled = f"{row[DONE]}/{total[rule]}", "#" * (bar * row[DONE] // total[rule])
        states = f"{row[RUNNING] or '':>7} {row[FAILED] or '':>6}"
        yield f"{rule:{wide}} {ratio:>9} {filled:.<{bar}} {states} {one:>9} {needs:>13}"
    if len(shown) > room:
        yield f"and {len(shown) - room} rules more that have begun: {', '.join(shown[room:])}"
    if done.any():
        yield f"done: {done.sum()} of {len(counts)} rules"
    if not begun.all():
        to_come = ", ".join(f"{rule} {total[rule]}" for rule in counts.index[~begun])
        yield from textwrap.wrap(
            f"to come: {to_come}", width, max_lines=SOME, placeholder=" ...", subsequent_indent="  "
        )


def _running(jobs: pd.DataFrame, chains: Chains, room: int) -> Iterator[str]:
    """Two lines for each running job; one where there are too many for that."""
    rows = jobs[jobs["state"] == RUNNING].sort_values("elapsed", ascending=False, kind="stable")
    if rows.empty:
        return
    yield "running"
    for job in rows.head(room).itertuples():
        yield f"  {duration(job.elapsed):>12}  {name_of(job.rule, job.outputs)}"
        note = chains.note(job.outputs) or "".join(last_lines(job.log, 1))
        if note and 2 * len(rows) <= room:
            yield f"{'':16}{note}"
    if len(rows) > room:
        yield f"  and {len(rows) - room} more"


def _stopped(jobs: pd.DataFrame, chains: Chains) -> Iterator[str]:
    """Chains that wait, and go on from what they saved."""
    rows = [(job, chains.note(job.outputs)) for job in jobs[jobs["state"] == LEFT].itertuples()]
    saved = [(job, note) for job, note in rows if note]
    for job, note in saved[:SOME]:
        yield f"stopped: {name_of(job.rule, job.outputs)}"
        yield f"  {note}"
    if len(saved) > SOME:
        yield f"  and {len(saved) - SOME} more stopped"


def _failed(jobs: pd.DataFrame) -> Iterator[str]:
    rows = jobs[jobs["state"] == FAILED]
    for job in rows.head(SOME).itertuples():
        yield f"failed: {name_of(job.rule, job.outputs)}"
        yield f"  log: {job.log}"
        yield from (f"  {line}" for line in last_lines(job.log, 1))
    if len(rows) > SOME:
        yield f"  and {len(rows) - SOME} more failed"


def _warned(warnings: Sequence[str]) -> Iterator[str]:
    """The last warnings."""
    if warnings:
        yield f"warnings: {len(warnings)}" + (f", the last {SOME}" if len(warnings) > SOME else "")
        yield from (f"  {warning}" for warning in warnings[-SOME:])


def failure(name: str, message: str, logs: Sequence[str], width: int | None) -> list[str]:
    """All that is said of a failed job: its message, the path of its log and the end of that; folded to ``width``."""
    lines = folded(f"{clock()} failed: {name}", width, "")
    lines += folded(message, width, "  ")
    for log in logs:
        ends = last_lines(log, OF_LOG)
        lines += folded(f"its log {log} {'ends with' if ends else 'is empty or was not written'}", width, "  ")
        for line in ends:
            lines += folded(line, width, "    ")
    return lines
