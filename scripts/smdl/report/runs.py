"""How the files of a study came about, from the provenance that each carries."""

import json
from pathlib import Path

import pandas as pd

from smdl.tables import read_provenance


def runs(paths: list[str], folder: str) -> pd.DataFrame:
    """The rows of the table ``runs``, one for each of the Parquet files ``paths`` below ``folder``."""
    return pd.DataFrame([_row(Path(path), folder) for path in paths]).astype({"seed": "Int64"})


def _row(path: Path, folder: str) -> dict:
    record = read_provenance(path)
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
