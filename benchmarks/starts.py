"""What starts cost: plans, and SLURM jobs before they work, beside a plain start of Python with torch and pandas.

    .venv/bin/python tests/slurm/cluster.py --accounting -- .venv/bin/python benchmarks/starts.py [--repeats 3]

Written to results/benchmarks/starts.json, each in seconds of a core and as a ratio to that plain start: the dry run of
config.yaml and of the mini study, and two jobs on a real SLURM that do next to nothing, one with torch (two steps of
training of a tiny model) and one without (the token blocks of its corpus). The jobs are sent both as the guard sends
them, which is with one Snakemake, and as the executor plugin does by itself, with two; their cost is SLURM's own
account of them. Medians of the repeats.
"""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import yaml

ROOT = Path(__file__).parents[1]
OUTPUT = Path("results/benchmarks/starts.json")
SITE = {"SMDL_ACCOUNT": "smdl", "SMDL_CPU_PARTITION": "cpu", "SMDL_GPU_PARTITION": "cpu"}
PLAIN = [sys.executable, "-c", "import torch, pandas"]
SNAKEMAKE = [sys.executable, "-P", "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
RULES = ("corpus", "train")
STUDY = {
    "study": "starts",
    "corpus": {
        "source": "package",
        "name": "kjv",
        "tokenizer": "bytes",
        "context": 16,
        "blocks": {"sampling": 64, "evaluation": 16, "calibration": 16},
    },
    "models": {
        "tiny": {
            "source": "train",
            "architecture": {"layers": 1, "hidden": 8, "heads": 2},
            "training": {"steps": 2, "batch_size": 4, "lr": 0.01},
            "steps": [0, 1, 2],
            "window": [0, 2],
        }
    },
    "compression": {
        "epsilons": [0.1],
        "headline": {"scheme": "quantize", "variant": "minimised", "epsilon": 0.1},
        "schemes": {"quantize": {"levels": [2, 8], "variants": {"minimised": {}}}},
    },
}
# Snakemake as users start it, and with the plugin's own way of starting jobs.
PLUGIN = """
import sys
from snakemake.cli import main
from smdl.runtime.cluster.guard import Guard
Guard.executed_by = lambda self, executor, job: self.executed(executor, job)
main(sys.argv[1:])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    os.environ.update(SITE)
    measured: dict[str, list[float]] = {}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(prefix="smdl-starts-") as folder:
            for name, seconds in once(Path(folder)).items():
                measured.setdefault(name, []).append(seconds)
    seconds = {name: median(values) for name, values in measured.items()}
    rows = {
        name: {"core_seconds": round(value, 2), "ratio": round(value / seconds["plain"], 2)}
        for name, value in seconds.items()
    }
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps({"repeats": repeats, "starts": rows}, indent=2) + "\n")
    for name, row in rows.items():
        print(f"{name:34} {row['core_seconds']:6.2f} s of a core, {row['ratio']:5.2f} plain starts")


def once(folder: Path) -> dict[str, float]:
    """Seconds of a core, by what was started."""
    found = {"plain": used(PLAIN, folder)}
    for config in ("config.yaml", "config.mini.yaml"):
        plan = ["--profile", ROOT / "profiles/local", "--configfile", ROOT / config, "--dry-run", "--quiet"]
        found[f"dry run of {config}"] = used([*SNAKEMAKE, *plan], folder)
    for way, start in (("guard", SNAKEMAKE), ("plugin", [sys.executable, "-P", "-c", PLUGIN, *SNAKEMAKE[-2:]])):
        found |= {f"job {rule}, {way}": seconds for rule, seconds in jobs(start, folder / way).items()}
    return found


def used(command: list, folder: Path) -> float:
    """Seconds of a core that a command takes, with all that it starts."""
    before = _children()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return _children() - before


def jobs(start: list[str], folder: Path) -> dict[str, float]:
    """Seconds of a core of the jobs of a study, as SLURM counts them."""
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(STUDY))
    command = [*start, "--profile", ROOT / "profiles/slurm", "--configfile", "config.yaml"]
    command += ["--slurm-init-seconds-before-status-checks", "3", "--", "results/starts/trained/tiny"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    told = subprocess.check_output(["sacct", "-nP", "--format=JobID,WorkDir,Comment,TotalCPU"], text=True)
    rows = [line.split("|") for line in told.splitlines()]
    ids = {rule: job for job, place, comment, _ in rows for rule in RULES if _is(rule, comment, place == str(folder))}
    # The account of a job is that of its steps: the batch script, and what srun started.
    return {
        rule: sum(_seconds(seconds) for step, _, _, seconds in rows if step.startswith(f"{job}."))
        for rule, job in ids.items()
    }


def _children() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _is(rule: str, comment: str, here: bool) -> bool:
    return here and re.fullmatch(rf"rule_{rule}(_wildcards.*)?", comment) is not None


def _seconds(told: str) -> float:
    """SLURM's minutes and seconds."""
    minutes, seconds = told.rsplit(":", 2)[-2:]
    return 60 * float(minutes) + float(seconds)


if __name__ == "__main__":
    main()
