"""The plan of a study: what Snakemake's dry run lists, added up model by model."""

import subprocess
import sys
from pathlib import Path

import pandas as pd

from smdl.foundation.errors import StudyError
from smdl.llc.settings import sampler_of
from smdl.runtime.cluster.resources import MARGIN, START_MINUTES, checkpoint_gb, device_gb, vocabulary
from smdl.runtime.dry_run import PlannedJob, planned
from smdl.runtime.progress import ROOT, reason
from smdl.sources.registry import SOURCES
from smdl.study.study import Study
from smdl.tables import read_table

NO_MODEL = "(all)"
GB = 1e9
# The rules that fetch checkpoints.
FETCHING = {source.making.rule for source in SOURCES.values() if source.making and source.making.temporary}
# Vectors as long as the weights: w, w*, second moment, gradient and control of a chain, and chunks
# (docs/findings/memory.md).
CHAIN_COPIES, FORWARD_COPIES = 5.1, 1.5


def planned_jobs(configfile: Path, profile: Path) -> list[PlannedJob]:
    """The jobs of a dry run of the study in ``configfile``; raises StudyError with Snakemake's reason."""
    command = ["-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--dry-run", "--nolock", "--nocolor"]
    command += ["--profile", str(profile), "--configfile", str(configfile)]
    dry = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    if dry.returncode:
        raise StudyError(reason(dry.stdout, dry.stderr))
    return planned(dry.stdout + dry.stderr)


def gpu_hours(job: PlannedJob) -> float:
    """GPU hours that are expected of a job, which its time limit exceeds by a start and a margin."""
    return job.gpu * max(job.minutes - START_MINUTES, 0) / MARGIN / 60


def plan(study: Study, jobs: list[PlannedJob], results: Path) -> pd.DataFrame:
    """A row per model and one for the whole: jobs, GPU hours, memory a GPU needs, GB to download, peak on disk (GB)."""
    rows = []
    for name in [*study.models, NO_MODEL]:
        own = [job for job in jobs if (job.model or NO_MODEL) == name]
        downloads = sum(job.rule in FETCHING for job in own)
        stored = _stored_gb(name, study, results) if downloads else 0.0
        rows.append(
            {
                "model": name,
                "jobs": len(own),
                "GPU jobs": sum(job.gpu > 0 for job in own),
                "GPU hours": sum(map(gpu_hours, own)),
                "GPU memory (GB)": _device_gb(name, study) if any(job.gpu for job in own) else 0.0,
                "download (GB)": stored * downloads,
                "disk peak (GB)": stored * min(study.disk.window, downloads),
            }
        )
    return _with_total(pd.DataFrame(rows)).round(2)


def _with_total(table: pd.DataFrame) -> pd.DataFrame:
    total = table.drop(columns="model").sum().to_dict()
    total |= {"model": "total", "GPU memory (GB)": table["GPU memory (GB)"].max()}
    return pd.concat([table, pd.DataFrame([total])], ignore_index=True).astype({"jobs": int, "GPU jobs": int})


def summary(table: pd.DataFrame) -> str:
    """The last row of a plan as a sentence."""
    last = table.iloc[-1]
    return (
        f"{last['jobs']} jobs, {last['GPU jobs']} of them on GPUs, {last['GPU hours']:.0f} GPU hours,"
        f" {last['download (GB)']:.0f} GB to download, at most {last['disk peak (GB)']:.0f} GB of weights on disk"
    )


def _device_gb(name: str, study: Study) -> float:
    """Memory (GB) of the largest job of a model: a chain, or a forward pass of the schemes."""
    model, context, tokens = study.models[name], study.corpus.context, vocabulary(study.corpus.tokenizer)
    samplers = [sampler_of(study.llc, model.llc, name) for name in study.llc.settings]
    at_once = max(min(its.batch_size, its.sequences_at_once or its.batch_size) for its in samplers)
    weights, batch = study.size(name, tokens), study.compression.batch_size
    copies = CHAIN_COPIES - (not study.llc.control)
    chain = device_gb(weights, model.dtype, copies, at_once * context, tokens, gradient=True)
    return max(chain, device_gb(weights, "float32", FORWARD_COPIES, batch * context, tokens, gradient=False))


def _stored_gb(name: str, study: Study, results: Path) -> float:
    """Size of one checkpoint (GB): as the hub lists it, once it was asked, else from the number of weights."""
    listing = results / "audit" / "listing.parquet"
    if listing.is_file():
        files = read_table(listing).query("model == @name and wanted and needed")
        if len(files):
            return files.groupby("step")["size"].sum().mean() / GB
    return checkpoint_gb(study.size(name, vocabulary(study.corpus.tokenizer)))
