"""Running the real Snakemake in tests."""

import copy
import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

from conftest import ROOT

SNAKEMAKE = str(Path(sys.executable).parent / "snakemake")
WARM = [sys.executable, "-P", str(ROOT / "src/smdl/runtime/warm.py")]

SMALL = {
    "study": "small",
    "seed": 1,
    "corpus": {
        "source": "package",
        "name": "kjv",
        "context": 16,
        "blocks": {"sampling": 64, "evaluation": 16, "calibration": 16},
    },
    "models": {
        "tiny": {
            "source": "train",
            "architecture": {"layers": 1, "hidden": 16, "heads": 2},
            "training": {"steps": 30, "batch_size": 8, "lr": 0.01},
            "steps": [10, 20, 30],
            "window": [10, 30],
        }
    },
    "rulers": {
        "bits_back": {"steps": 5, "samples": 2, "batch_size": 4},
        "curvature": {"blocks": 2, "probes": 2, "lanczos": 2},
    },
    "llc": {"batch_size": 4, "chains": 2, "chains_per_job": 2, "burn_in": 2, "draws": 8},
    "compression": {
        "epsilons": [0.02, 0.1],
        "headline": {"scheme": "quantize", "variant": "minimised", "epsilon": 0.02},
        "schemes": {
            "quantize": {
                "mode": "curve",
                "levels": [2, 3, 5, 9, 17, 33],
                "variants": {"minimised": {}, "maximum": {"range": "maximum"}},
            },
            "prune": {"levels": {"first": 0, "last": 1, "step": 0.1}, "variants": {"wanda": {"score": "wanda"}}},
        },
    },
}


def small_config() -> dict:
    """A study of one tiny model that runs in seconds, to change."""
    return copy.deepcopy(SMALL)


def snakemake(
    folder: Path, config: dict | Path, *arguments: str, warm: bool = False, snakefile: str = "Snakefile"
) -> subprocess.CompletedProcess:
    """Run the workflow in ``folder`` with ``config``; its output is text in ``stdout`` (graphs) and ``stderr``.

    ``snakefile`` is that of the study, or of an experiment, as seen from the top of the repository.
    """
    if isinstance(config, dict):
        path = folder / "config.test.yaml"
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        config = path
    command = [
        *(WARM if warm else []),
        *(SNAKEMAKE, "--snakefile", str(ROOT / snakefile), "--directory", str(folder)),
        *("--profile", str(ROOT / "profiles/local"), "--configfile", str(config), *arguments),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=900, env={**os.environ, "CI": "1"})


def jobs(output: str) -> dict[str, int]:
    """The counts a rule of a dry run; empty where nothing is to be done."""
    found = re.search(r"Job stats:\njob +count\n[- ]+\n(.*?)\n\n", output, re.DOTALL)
    rows = [line.split() for line in found[1].splitlines()] if found else []
    return {name: int(count) for name, count in rows if name != "total"}
