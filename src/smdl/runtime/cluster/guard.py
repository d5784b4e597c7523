"""What Snakemake's SLURM executor plugin (2.8.0) leaves open, closed.

Seven gaps, each seen on a real cluster (docs/how-to/slurm.md has the measurements):

1. A query that SLURM does not answer makes the plugin forget its running jobs, and the workflow waits for ever.
2. PREEMPTED, and NODE_FAIL when SLURM may requeue, count as "goes on"; when SLURM does not requeue, for ever.
3. ``CANCELLED by 1000``, as sacct says it, is not ``CANCELLED``; a job that SLURM has forgotten is waited for.
4. A Snakemake started after another was killed submits a second job beside the one still running.
5. While it asks for states Snakemake holds no jobs: interrupted in that moment, it cancels none.
6. A job whose launch failed on its node is put back and held by SLURM, and waits for ever.
7. A job starts Snakemake twice: one to call srun, and one below it to run the rule.

``install`` puts four functions of the plugin behind this module: the one that asks for states, the one that builds the
sbatch command, the one that says what the job runs, and the one that cancels. Everything else stays the plugin's.
"""

import re
import shlex
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from logging import Logger
from types import ModuleType
from typing import Any

from smdl.foundation.errors import StudyError
from smdl.runtime.cluster import step

PLUGIN = "snakemake_executor_plugin_slurm"
GUARDED = ("query_job_status", "get_submit_command", "cancel_slurm_jobs")
FINAL_UNLESS_REQUEUED = ("PREEMPTED", "NODE_FAIL")
HELD = "launch failed requeued held"
RUN_ID = re.compile(r"(\w+_)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

Answer = tuple[dict[str, str] | None, float | None]


@dataclass
class States:
    """SLURM's job states, made into ones that the plugin acts on rightly.

    ``patience`` (s) is how long a state that a requeue would end may last before it is taken for the end.
    """

    patience: float = 60.0
    clock: Callable[[], float] = time.monotonic
    since: dict[str, float] = field(default_factory=dict)
    listed: set[str] = field(default_factory=set)

    def settle(self, states: dict[str, str], complete: bool) -> dict[str, str]:
        """Judge one answer, job id to state; ``complete`` when it lists every job that SLURM knows.

        A preempted or node-failed job that is not requeued becomes FAILED, so that Snakemake retries it. A job that
        was listed and no longer is becomes UNKNOWN, for which the plugin looks at the outputs: they are written
        atomically, so their presence tells.
        """
        states = {job: state.split(" ")[0] for job, state in states.items()}
        settled = {job: self._settled(job, state) for job, state in states.items()}
        if complete:
            gone = {job: "UNKNOWN" for job in self.listed - states.keys() if self._lasts(job)}
            self.listed |= states.keys()
            return settled | gone
        return settled

    def _settled(self, job: str, state: str) -> str:
        if state not in FINAL_UNLESS_REQUEUED:
            self.since.pop(job, None)
            return state
        return "FAILED" if self._lasts(job) else state

    def _lasts(self, job: str) -> bool:
        return self.clock() - self.since.setdefault(job, self.clock()) >= self.patience


class Guard:
    """The four functions that stand before the plugin's own."""

    def __init__(self, plugin: ModuleType, patience: float):
        self.query: Callable[[str, Logger], Awaitable[Answer]] = plugin.query_job_status
        self.command: Callable[..., str] = plugin.get_submit_command
        self.cancel: Callable[..., None] = plugin.cancel_slurm_jobs
        self.executed: Callable[..., str] = plugin.Executor.format_job_exec
        self.run: str | None = None
        self.states = States(patience)
        self.silent = False
        self.orphans: dict[str, list[str]] | None = None
        self.unasked: list[str] = []

    async def query_job_status(self, command: str, logger: Logger) -> Answer:
        """Ask SLURM for the states; silence is an answer that names no job, so that none is forgotten.

        squeue is also asked for the reason (%r). A job held for a failed launch is cancelled, so that Snakemake retries
        it: the launch costs a moment, and an administrator need not release it.
        """
        states, seconds = await self.query(command.replace("%i|%T", "%i|%T %r"), logger)
        if (states is None) != self.silent:
            self.silent = states is None
            logger.warning("SLURM does not answer; waiting for it." if self.silent else "SLURM answers again.")
        if states is None:
            return {}, 0.0
        if held := [job for job, state in states.items() if state == f"PENDING {HELD}"]:
            logger.warning(f"SLURM could not launch job {' '.join(held)} and holds it; cancelled, to be sent again.")
            subprocess.run(["scancel", *held], check=False)
        return self.states.settle(states, complete=command.startswith("squeue")), seconds

    def get_submit_command(self, job: Any, params: dict[str, Any], *rest: Any, **options: Any) -> str:
        """The sbatch command; where a killed Snakemake left the same job running, that one is ended first.

        Snakemake submits only what it has locked, so another job in this folder for the same rule and wildcards is
        an orphan. It is asked to stop (a chain then saves its state), and the new job waits for its end.
        """
        self.run = params["run_uuid"]
        command = self.command(job, params, *rest, **options)
        jobs = self._orphans_of(params["comment_str"], str(params["workdir"]))
        if not jobs:
            return command
        subprocess.run(["scancel", *jobs], check=False)
        print(f"Ending SLURM job {' '.join(jobs)} of an earlier run: it does the same work.", file=sys.stderr)
        return f"{command} --dependency=afterany:{':'.join(jobs)}"

    def executed_by(self, executor: Any, job: Any) -> str:
        """The command of a job's batch script: srun at once, and not a Snakemake that calls it.

        Arrays of jobs, MPI jobs and commands too long for a line stay the plugin's: they need the Snakemake between.
        """
        command, between = self.executed(executor, job), executor.additional_general_args()
        settings = executor.workflow.executor_settings
        if settings.array_jobs or settings.pass_command_as_script or job.resources.get("mpi"):
            return command
        from snakemake_executor_plugin_slurm_jobstep import get_cpu_setting, get_gpu_setting, get_node_setting

        gpus = get_gpu_setting(job)
        options = " ".join([get_cpu_setting(job, bool(gpus)), gpus, get_node_setting(job)])
        return (
            f"{executor.get_python_executable()} -P {shlex.quote(step.__file__)} {options} {_without(command, between)}"
        )

    def _orphans_of(self, comment: str, workdir: str) -> list[str]:
        """Jobs of an earlier run for the same work; none, with a warning, where squeue stays silent.

        A silent squeue is asked again with the next job, and what was sent in between is looked up then.
        """
        if self.orphans is None:
            pauses = [] if self.unasked else _pauses(self.states.patience)
            self.orphans = _orphans(workdir, self.run, pauses)
            if self.orphans is None:
                print(
                    f"squeue does not answer: {comment} is sent without knowing whether an earlier run's job still does"
                    " the same work",
                    file=sys.stderr,
                )
                self.unasked.append(comment)
                return []
            late = [job for sent in self.unasked for job in self.orphans.pop(sent, [])]
            if late:
                subprocess.run(["scancel", *late], check=False)
                print(f"Ending SLURM job {' '.join(late)} of an earlier run, found late.", file=sys.stderr)
        return self.orphans.pop(comment, [])

    def cancel_slurm_jobs(self, *known: Any) -> None:
        """Cancel the jobs that Snakemake knows of, then whatever else bears the name that this run gave its jobs."""
        self.cancel(*known)
        if self.run is not None:
            subprocess.run(["scancel", f"--name={self.run}"], check=False)


def install(patience: float = 60.0) -> Guard | None:
    """Put the guard before the plugin, once, where the plugin is loaded; raise StudyError where it has changed."""
    plugin = sys.modules.get(PLUGIN)
    if plugin is None:
        return None
    if not all(hasattr(plugin, name) for name in (*GUARDED, "Executor")):
        raise StudyError(f"{PLUGIN} is not the version this workflow guards: install what requirements.lock says")
    if isinstance(getattr(plugin.query_job_status, "__self__", None), Guard):
        return plugin.query_job_status.__self__
    guard = Guard(plugin, patience)
    for name in GUARDED:
        setattr(plugin, name, getattr(guard, name))
    plugin.Executor.format_job_exec = lambda executor, job: guard.executed_by(executor, job)
    return guard


def _without(command: str, words: str) -> str:
    """A command without these words; raise StudyError where they are not there, as the plugin has changed."""
    before, found, after = command.partition(f" {words} ")
    if not found:
        raise StudyError(f"{PLUGIN} starts its jobs in another way: install what requirements.lock says")
    return f"{before} {after}"


def _pauses(patience: float) -> list[float]:
    """Seconds to wait between questions, each twice the last, together as long as the patience."""
    return [patience / 2**n for n in range(6, 0, -1)]


def _orphans(workdir: str, run: str, pauses: list[float]) -> dict[str, list[str]] | None:
    """Unfinished jobs of other Snakemake runs in this folder, by the comment that names rule and wildcards.

    None where squeue fails as often as it is asked. The user's other jobs may bear any name: a line that has not these
    four fields, with a run's name in its place, is none of a run's.
    """
    ask = ["squeue", "--me", "--noheader", "--format=%i\t%j\t%k\t%Z"]
    for pause in [*pauses, None]:
        try:
            done = subprocess.run(ask, capture_output=True, encoding="utf-8", errors="surrogateescape", timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            done = None
        if done is not None and done.returncode == 0:
            break
        if pause is None:
            return None
        time.sleep(pause)
    jobs = defaultdict(list)
    for line in done.stdout.split("\n"):
        fields = line.split("\t")
        if len(fields) != 4:
            continue
        job, name, comment, folder = fields
        if job.isdigit() and folder == workdir and name != run and RUN_ID.fullmatch(name):
            jobs[comment].append(job)
    return dict(jobs)
