"""What every Snakefile of this repository does first: check its config, and set Snakemake up for its jobs."""

import functools
import gc
import json
import os
import posixpath
import shlex
import sys
import tomllib
from collections.abc import Mapping
from typing import Any

from snakemake import common, rules
from snakemake.jobs import Job
from snakemake.shell import shell
from snakemake.sourcecache import HostingProviderFile, LocalGitFile, LocalSourceFile, SourceFile

from smdl.foundation.errors import StudyError
from smdl.runtime import claim, hand_over, leash, stop, warm
from smdl.runtime.cluster import guard
from smdl.runtime.installed import installed_commit, installed_version
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


def check_library(workflow: Any, origin: str) -> None:
    """End Snakemake with one line where the library is of another version, or another commit, than the Snakefile.

    ``origin`` is where the Snakefile is from, as pip names it. A library that pip took from a folder knows its version
    only.
    """
    folder = workflow.current_basedir
    with workflow.sourcecache.open(folder.join("pyproject.toml")) as file:
        wanted = [f"version {tomllib.loads(file.read())['project']['version']}"]
    found = [f"version {installed_version()}"]
    if (commit := _commit_of(folder)) and (own := installed_commit()):
        wanted.append(f"commit {commit}")
        found.append(f"commit {own}")
    if found != wanted:
        pip = f"{shlex.quote(sys.executable)} -m pip"
        sys.exit(
            f"smdl, the library of this workflow, is installed in {', '.join(found)}, and the workflow is"
            f" {', '.join(wanted)}; to install that:"
            f" {pip} uninstall --yes smdl && {pip} install {shlex.quote(origin)}"
        )


def _commit_of(source: SourceFile) -> str | None:
    """The commit that a file is read from, out of a git repository; None for a plain file."""
    if isinstance(source, LocalGitFile):
        from git import Repo

        return Repo(source.repo_path).commit(source.ref).hexsha
    return source.hosted_repo.repo.commit(source.ref).hexsha if isinstance(source, HostingProviderFile) else None


def alone(workflow: Any) -> bool:
    """Whether the workflow runs by itself, and is no module of another."""
    return workflow.modifier.is_main_snakefile()


def begin(workflow: Any, config: Mapping[str, Any], kind: type[Kind]) -> tuple[dict[str, Any], Kind]:
    """The checked ``config`` of a workflow, of the given ``kind``, defaults included, as plain values and as types.

    Where it runs by itself, Snakemake is set up for its jobs. Ends Snakemake with one line per problem where the config
    is not right.
    """
    try:
        # Snakemake has read these already, and loosely: of keys that stand twice it keeps the last.
        for file in filter(os.path.isfile, workflow.configfiles if alone(workflow) else ()):
            load(file)
        checked = understood(config, kind)
    except StudyError as problems:
        # Snakemake's own log may lose what is said just before it ends.
        sys.exit(str(problems))
    if alone(workflow):
        set_up()
    return checked


def set_up() -> None:
    """Set Snakemake up for the jobs: on a cluster, for a second run in the same folder, and for the end of a run."""
    # Snakemake writes the path of Python into shell commands as it stands: quoted, it may hold spaces.
    sys.executable = shlex.quote(sys.executable)
    if address := os.environ.get(warm.SOCKET):
        sys.executable += f" -P {shlex.quote(hand_over.__file__)} {shlex.quote(address)}"
    guard.install()
    claim.install()
    _plan_whatever_may_not_be_written()
    _plan_faster()
    if os.environ.get(warm.PARENT) == str(os.getppid()):
        leash.end_with(os.getppid())
    # Bash would die of SLURM's warning, and the script with it before its state is saved: let bash wait instead.
    shell.prefix("set -euo pipefail; trap : TERM; ")


def _plan_whatever_may_not_be_written() -> None:
    """Let a dry run list jobs whose outputs may not be written: it writes none, and others' results may be seen."""
    if hasattr(Job, "check_before_jobs"):
        return
    Job.check_before_jobs = Job.check_protected_output

    async def check(job: Job) -> None:
        if not job.dag.workflow.dryrun:
            await job.check_before_jobs()

    Job.check_protected_output = check


def _plan_faster() -> None:
    """Spare a plan of thousands of jobs a fifth of its time.

    Snakemake asks for the parameters of an input function at every call, and Python looks for garbage again and again
    among the jobs, which all stay.
    """
    if not hasattr(common.get_function_params, "cache_info"):
        common.get_function_params = rules.get_function_params = functools.cache(common.get_function_params)
    gc.set_threshold(100_000, 50, 100)


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
