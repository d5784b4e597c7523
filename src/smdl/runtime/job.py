"""What every script does around its library call: log, provenance, and errors that a user can read."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smdl.foundation.errors import ADVICE, StudyError, refused
from smdl.runtime.gpus import take
from smdl.runtime.hand_over import hand_over, want_own_process
from smdl.runtime.installed import installed_commit
from smdl.runtime.leash import ancestors, end_with
from smdl.runtime.warm import SOCKET, handed_over

if TYPE_CHECKING:
    import pandas as pd

    from smdl.tables import Table

RECORDED_PACKAGES = ("snakemake", "torch", "transformers", "numpy", "pandas", "scipy", "pyarrow")


@dataclass
class Job:
    """One running job: its settings and the record of how its outputs came about."""

    settings: Any
    stage_version: int
    seed: int | None
    started: float = field(default_factory=time.monotonic)

    def provenance(self) -> dict[str, Any]:
        """Stage version, settings, package versions, device, wall time (s), peak memory (MB) and commit, as of now."""
        return {
            "stage_version": self.stage_version,
            "settings": self.settings,
            "seed": self.seed,
            "packages": {name: version(name) for name in RECORDED_PACKAGES},
            "python": platform.python_version(),
            "commit": _commit(),
            "wall_seconds": round(time.monotonic() - self.started, 3),
            "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            **_device(),
        }

    def write(self, path: str, table: Table, rows: pd.DataFrame | list[dict[str, Any]]) -> None:
        """Write ``rows`` as the Parquet file ``path`` with this job's provenance."""
        from smdl.tables import write_table

        write_table(path, table, rows, self.provenance())

    def write_with_csv(self, path: str, csv: str, table: Table, rows: pd.DataFrame | list[dict[str, Any]]) -> None:
        """Write ``rows`` as Parquet and as its CSV twin."""
        from smdl.tables import write_csv

        write_csv(csv, table, rows)
        self.write(path, table, rows)


@contextmanager
def job(snakemake: Any, *, network: bool = False) -> Iterator[Job]:
    """Run a script's body with its output in the rule's log and a StudyError said in one line.

    Output is captured at the file-descriptor level, so that what C and CUDA libraries print reaches the log too. Only
    a job with ``network`` may reach a hub; all others stay offline, wherever they run. A job ends at once,
    with empty outputs, where its inputs ``screening`` or ``manifest`` and ``losses`` speak against its checkpoint. A
    job whose Snakemake was killed is warned, as by SIGTERM.
    """
    if not handed_over():
        # The parent is a shell, which would outlive Snakemake and wait for the job.
        end_with(*ancestors(2))
    if not network:
        os.environ["HF_HUB_OFFLINE"] = "1"
        # In a module of another workflow Snakemake starts scripts as ever.
        if address := os.environ.get(SOCKET):
            hand_over(address, sys.argv)
    elif handed_over():
        # The warm process has imported the hub's client as offline.
        want_own_process()
    with Path(snakemake.log[0]).open("wb", buffering=0) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    try:
        if snakemake.resources.get("gpu", 0):
            take()
        from smdl.runtime.screening import leave_empty, left_out

        if reason := left_out(snakemake.input, snakemake.wildcards):
            print(f"left out: {reason}")
            leave_empty(snakemake.output)
            sys.exit(0)
        yield Job(
            settings=json.loads(snakemake.params.get("settings", "null")),
            stage_version=snakemake.params.get("version", 0),
            seed=snakemake.params.get("seed"),
        )
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        if error.errno not in ADVICE:
            traceback.print_exc()
        print(f"error: {refused(error)}", file=sys.stderr)
        sys.exit(1)
    except Exception:
        traceback.print_exc()
        sys.exit(1)


@cache
def _commit() -> str:
    """The commit of the library: of its own folder, marked where files differ from it; ``unknown`` outside git."""
    if commit := installed_commit():
        return commit
    here = str(Path(__file__).parent)
    describe = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(
            ["git", "-C", here, *describe], capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _device() -> dict[str, Any]:
    """Device and its peak memory (MB); the GPU's where one is used. Never imports torch itself."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        return {
            "device": torch.cuda.get_device_name(),
            "peak_device_memory_mb": round(torch.cuda.max_memory_allocated() / 2**20, 1),
        }
    return {"device": platform.machine(), "peak_device_memory_mb": 0.0}
