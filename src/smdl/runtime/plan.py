"""The plan of a study: what Snakemake's dry run lists, added up model by model."""

import subprocess
import sys
from pathlib import Path

import pandas as pd

from smdl.foundation.errors import StudyError
from smdl.runtime.cluster.resources import DEFAULT_MB, MARGIN, START_MINUTES, checkpoint_gb, vocabulary
from smdl.runtime.dry_run import PlannedJob, planned
from smdl.runtime.installed import workflow_folder
from smdl.runtime.progress import reason
from smdl.sources.registry import SOURCES
from smdl.study.study import Study
from smdl.tables import read_table

NO_MODEL = "(all)"
GB = 1e9
# The rules that fetch checkpoints.
FETCHING = {source.making.rule for source in SOURCES.values() if source.making and source.making.temporary}


def planned_jobs(configfile: Path, profile: Path) -> list[PlannedJob]:
    """The jobs of a dry run of the study in ``configfile``; raises StudyError with Snakemake's reason."""
    command = ["-m", "snakemake", "--snakefile", str(workflow_folder() / "Snakefile")]
    command += ["--dry-run", "--nolock", "--nocolor"]
    command += ["--profile", str(profile), "--configfile", str(configfile)]
    dry = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    if dry.returncode:
        raise StudyError(reason(dry.stdout, dry.stderr))
    return planned(dry.stdout + dry.stderr)


def gpu_hours(job: PlannedJob) -> float:
    """GPU hours that are expected of a job, which its time limit exceeds by a start and a margin."""
    return job.gpu * _hours(job)


def cpu_hours(job: PlannedJob) -> float:
    """Hours that are expected of a job without a GPU; one that says nothing of its time takes seconds."""
    return 0.0 if job.gpu else _hours(job)


def _hours(job: PlannedJob) -> float:
    return max(job.minutes - START_MINUTES, 0) / MARGIN / 60


def plan(study: Study, jobs: list[PlannedJob], results: Path) -> pd.DataFrame:
    """A row per model and one for the whole: jobs, hours, memory of the largest, download and peak on disk (GB)."""
    rows = []
    for name in [*study.models, NO_MODEL]:
        own = [job for job in jobs if (job.model or NO_MODEL) == name]
        downloads = sum(job.rule in FETCHING for job in own)
        stored = _stored_gb(name, study, results) if downloads else 0.0
        rows.append(
            {
                "model": name,
                **_counted(own),
                "download (GB)": stored * downloads,
                "disk peak (GB)": stored * min(study.disk.window, downloads),
            }
        )
    return _with_total(pd.DataFrame(rows)).round(2)


def plan_of_rules(jobs: list[PlannedJob]) -> pd.DataFrame:
    """A row per rule of the dry run, in its order: jobs, hours, and the memory of the largest."""
    rules = dict.fromkeys(job.rule for job in jobs)
    return pd.DataFrame({"rule": rule, **_counted([job for job in jobs if job.rule == rule])} for rule in rules).round(
        2
    )


def _counted(jobs: list[PlannedJob]) -> dict[str, float]:
    memory = [max(job.memory_mb, DEFAULT_MB) for job in jobs]
    return {
        "jobs": len(jobs),
        "GPU jobs": sum(job.gpu > 0 for job in jobs),
        "GPU hours": sum(map(gpu_hours, jobs)),
        "CPU hours": sum(map(cpu_hours, jobs)),
        "memory (GB)": max(memory, default=0) / 1e3,
        "GPU memory (GB)": max((job.device_mb for job in jobs), default=0) / 1e3,
    }


def _with_total(table: pd.DataFrame) -> pd.DataFrame:
    total = table.drop(columns="model").sum().to_dict()
    total |= {"model": "total", **{name: table[name].max() for name in ("memory (GB)", "GPU memory (GB)")}}
    return pd.concat([table, pd.DataFrame([total])], ignore_index=True).astype({"jobs": int, "GPU jobs": int})


def summary(table: pd.DataFrame) -> str:
    """The last row of a plan as a sentence."""
    last = table.iloc[-1]
    return (
        f"{last['jobs']} jobs, {last['GPU jobs']} of them on GPUs, {last['GPU hours']:.0f} GPU hours,"
        f" {last['CPU hours']:.0f} CPU hours,"
        f" {last['download (GB)']:.0f} GB to download, at most {last['disk peak (GB)']:.0f} GB of weights on disk"
    )


def _stored_gb(name: str, study: Study, results: Path) -> float:
    """Size of one checkpoint (GB): as the hub lists it, once it was asked, else from the number of weights."""
    listing = results / "audit" / "listing.parquet"
    if listing.is_file():
        files = read_table(listing).query("model == @name and wanted and needed")
        if len(files):
            return files.groupby("step")["size"].sum().mean() / GB
    return checkpoint_gb(study.size(name, vocabulary(study.corpus.tokenizer)))
