"""What every Snakefile of this repository does first: check its config, and set Snakemake up for its jobs."""

import json
import os
import posixpath
import shlex
import sys
from collections.abc import Mapping
from typing import Any

from snakemake.jobs import Job
from snakemake.shell import shell
from snakemake.sourcecache import LocalGitFile, LocalSourceFile

from smdl.foundation.errors import StudyError
from smdl.runtime import claim, leash, stop, warm
from smdl.runtime.cluster import guard
from smdl.settings.config import Kind, understood
from smdl.settings.configfile import load


def read_from_git() -> None:
    """Let Snakemake read rules and scripts out of a git repository, where this workflow is used as a module of another.

    Snakemake 9 joins a path to the empty folder of a Snakefile at the top of a repository with a slash, which git does
    not know, and fails on the path of a script.
    """

    def join(folder: LocalGitFile, path: str | LocalSourceFile) -> LocalGitFile:
        below = path if isinstance(path, str) else path.get_path_or_uri(secret_free=True)
        joined = posixpath.normpath(posixpath.join(folder.path, below))
        return LocalGitFile(folder.repo_path, joined, tag=folder.tag, ref=folder._ref, commit=folder.commit)

    LocalGitFile.join = join


def begin(workflow: Any, config: Mapping[str, Any], kind: type[Kind]) -> tuple[dict[str, Any], Kind]:
    """The checked ``config`` of a workflow, of the given ``kind``, defaults included, as plain values and as types.

    Snakemake is set up for its jobs. Ends Snakemake with one line per problem where the config is not right.
    """
    try:
        # Snakemake has read these already, and loosely: of keys that stand twice it keeps the last.
        for file in filter(os.path.isfile, workflow.configfiles):
            load(file)
        checked = understood(config, kind)
    except StudyError as problems:
        # Snakemake's own log may lose what is said just before it ends.
        sys.exit(str(problems))
    # Snakemake writes the path of Python into shell commands as it stands: quoted, it may hold spaces.
    sys.executable = shlex.quote(sys.executable)
    guard.install()
    claim.install()
    _plan_whatever_may_not_be_written()
    if os.environ.get(warm.PARENT) == str(os.getppid()):
        leash.end_with(os.getppid())
    # Bash would die of SLURM's warning, and the script with it before its state is saved: let bash wait instead.
    shell.prefix("set -euo pipefail; trap : TERM; ")
    return checked


def _plan_whatever_may_not_be_written() -> None:
    """Let a dry run list jobs whose outputs may not be written: it writes none, and others' results may be seen."""
    if hasattr(Job, "check_before_jobs"):
        return
    Job.check_before_jobs = Job.check_protected_output

    async def check(job: Job) -> None:
        if not job.dag.workflow.dryrun:
            await job.check_before_jobs()

    Job.check_protected_output = check


def before_jobs(workflow: Any) -> None:
    """To be called by ``onstart``: jobs start without delay, and all end when the run is asked to."""
    # Snakemake's limit of 100 new jobs per second, its default, looks for jobs once per second for every job that has
    # ever ended, until that takes a whole core. Nothing here starts jobs faster.
    workflow.scheduler.job_rate_limiter = None
    if workflow.local_exec and workflow.is_main_process:
        stop.end_jobs_when_asked(workflow.scheduler.exit_gracefully)


def canonical(settings: Any) -> str:
    """Settings as text in which the order of keys does not count, so that reordering reruns nothing.

    Snakemake's report holds it within a script: no ``</script>`` of a name may end that.
    """
    return json.dumps(settings, sort_keys=True).replace("<", "\\u003c")


def as_given(settings: Any) -> str:
    """As ``canonical``, the keys in their order: it decides a population's design, and which setting is the first."""
    return json.dumps(settings).replace("<", "\\u003c")
