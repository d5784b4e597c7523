"""How the files of a study came about, from the provenance that each carries."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from smdl.tables import empty, read_provenance
from smdl.tables.report import RUNS


def runs(paths: list[str], folder: str) -> pd.DataFrame:
    """The rows of the table ``runs``, one for each of the Parquet files ``paths`` below ``folder``.

    The empty tables of checkpoints that were screened out tell no job and are left out.
    """
    records = {path: read_provenance(path) for path in paths}
    rows = [_row(Path(path), folder, record) for path, record in records.items() if "screened_out" not in record]
    if not rows:
        return empty(RUNS)
    return pd.DataFrame(rows).astype({"seed": "Int64"})


def _row(path: Path, folder: str, record: dict[str, Any]) -> dict[str, Any]:
    same = ("table", "wall_seconds", "peak_memory_mb", "device", "peak_device_memory_mb", "stage_version", "commit")
    return {
        "file": str(path.relative_to(folder)),
        **{name: record[name] for name in same},
        "seed": record["seed"],
        "packages": ", ".join(
            f"{name} {own}" for name, own in {"python": record["python"], **record["packages"]}.items()
        ),
        "settings": json.dumps(record["settings"], sort_keys=True),
    }
