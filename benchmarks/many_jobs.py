"""The published study's jobs on a real SLURM, their work replaced by a short sleep: what does it take to send them all?

    .venv/bin/python tests/slurm/cluster.py --accounting -- .venv/bin/python benchmarks/many_jobs.py [--jobs 100]

runs config.yaml through profiles/slurm. The DAG is that of the full study without its downloads, which are no SLURM
jobs: every model is trained instead, in one job. Rules, profile, executor plugin, guard and controller are the real
ones; only what a job runs is replaced, by a sleep and the making of its outputs. Written to
results/benchmarks/many_jobs.json: jobs, the seconds to plan and to send them (submission rate while there was something
to send), how often the queue was asked and how long an answer took, the processor time of Snakemake, and how long after
the last job's end the run ended.
"""

import argparse
import json
import os
import resource
import shlex
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import snakemake_executor_plugin_slurm as plugin
import yaml
from snakemake.cli import main as snakemake

ROOT = Path(__file__).parents[1]
OUTPUT = Path("results/benchmarks/many_jobs.json")
SITE = {"SMDL_ACCOUNT": "smdl", "SMDL_CPU_PARTITION": "cpu", "SMDL_GPU_PARTITION": "cpu"}
TINY = {"layers": 1, "hidden": 8, "heads": 2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=100, help="in the queue at once; the profile's own number is 100")
    parser.add_argument("--sleep", type=float, default=1, help="seconds per job")
    arguments = parser.parse_args()
    os.environ.update(SITE)
    folder = Path(tempfile.mkdtemp(prefix="smdl-many-jobs-"))
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(without_hub(yaml.safe_load((ROOT / "config.yaml").read_text()))))
    seen = Observed(folder / "ends", arguments.sleep)
    started = time.time()
    command = ["--snakefile", ROOT / "Snakefile", "--directory", folder, "--configfile", config]
    command += ["--profile", ROOT / "profiles/slurm", "--jobs", arguments.jobs, "--quiet", "all"]
    try:
        snakemake([str(word) for word in command])
        status = 0
    except SystemExit as end:
        status = end.code or 0
    report = {"status": status, "jobs_at_once": arguments.jobs, "sleep": arguments.sleep}
    report |= seen.summary(started, time.time())
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))
    shutil.rmtree(folder)
    sys.exit(status)


def without_hub(config: dict[str, Any]) -> dict[str, Any]:
    """The same checkpoints and schemes, every model trained in one job, no constraint on a partition's memory."""
    for name, own in config["models"].items():
        kept = {key: own[key] for key in ("steps", "window") if key in own}
        training = {"steps": max(own["steps"]), "batch_size": 1, "lr": 1e-3}
        config["models"][name] = {"source": "train", "architecture": TINY, "training": training, **kept}
    config["corpus"] |= {"source": "package", "name": "kjv", "tokenizer": "bytes", "context": 64}
    for name in ("repo", "revision"):
        config["corpus"].pop(name)
    return config


class Observed:
    """Stands in three places of the plugin, replaces what a job runs, and notes when it was asked."""

    def __init__(self, ends: Path, sleep: float):
        self.ends, self.sleep = ends, sleep
        self.submissions: list[float] = []
        self.queries: list[tuple[float, float]] = []
        self.query = plugin.query_job_status
        plugin.query_job_status = self.timed_query
        plugin.Executor.format_job_exec = self.job

    def job(self, job: Any) -> str:
        """What stands in the place of a job's work."""
        self.submissions.append(time.time())
        made = []
        for output in job.output:
            if output.is_directory:
                made.append(f"mkdir -p {shlex.quote(output)}")
            else:
                made += [f"mkdir -p {shlex.quote(str(Path(output).parent))}", f"touch {shlex.quote(output)}"]
        return " && ".join([f"sleep {self.sleep}", *made, f"date +%s.%N >> {self.ends}"])

    async def timed_query(self, command: str, logger: Any) -> Any:
        started = time.time()
        answer = await self.query(command, logger)
        self.queries.append((started, time.time() - started))
        return answer

    def summary(self, started: float, ended: float) -> dict[str, Any]:
        ends = np.loadtxt(self.ends, ndmin=1) if self.ends.exists() else np.array([np.nan])
        sent, answers = np.array(self.submissions), np.array([seconds for _, seconds in self.queries])
        gaps = np.diff(sent)
        # Between two jobs of a batch there is nothing to wait for; longer gaps are those to the next look at the queue.
        within = gaps[gaps < 2]
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return {
            "jobs": len(sent),
            "jobs_ended": len(ends),
            "seconds_to_first_submission": round(sent[0] - started, 1),
            "seconds_in_all": round(ended - started, 1),
            "submissions_per_second": round(len(within) / within.sum(), 2),
            "queries": len(answers),
            "query_seconds_median": round(float(np.median(answers)), 3),
            "query_seconds_max": round(float(answers.max()), 3),
            "seconds_from_last_end_to_end": round(ended - ends.max(), 1),
            "processor_seconds_snakemake": round(used[0].ru_utime + used[0].ru_stime, 1),
            "processor_seconds_sbatch_squeue": round(used[1].ru_utime + used[1].ru_stime, 1),
        }


if __name__ == "__main__":
    main()
