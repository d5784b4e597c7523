"""Checkpoints that are left alone: their jobs end at once, with empty outputs, and the study goes on without them.

A hub's own listing may speak against a checkpoint before its download; after it, what `reference` found there: weights
or losses that are not finite, or nothing but constants. What is screened out has an empty manifest.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from smdl.models.audit import own_findings
from smdl.study.tables import by_theme
from smdl.tables import read_table, write_table


def left_out(files: Any, wildcards: Any) -> str:
    """What the inputs ``files`` of a job say against its checkpoint; empty where nothing does."""
    if "screening" in files.keys() and _screened_out(files.screening, wildcards):  # noqa: SIM118 - no dict
        return "same weights"
    if "manifest" not in files.keys():  # noqa: SIM118
        return ""
    manifest = read_table(files.manifest)
    if manifest.empty:
        return "screened out"
    return own_findings(manifest, read_table(files.losses))["reason"].iloc[0]


def _screened_out(screening: str, wildcards: Any) -> bool:
    """Whether the table ``screening`` excludes the checkpoint that a job's wildcards name, where they name one."""
    if "model" not in wildcards.keys():  # noqa: SIM118 - snakemake's Wildcards are no dict
        return False
    rows: pd.DataFrame = read_table(screening)
    mine = (rows["model"] == wildcards.model) & (rows["step"] == int(wildcards.step))
    return bool(rows.loc[mine, "excluded"].any())


def leave_empty(output: Any) -> None:
    """Write every named output of a job: the table of its name, file or folder, without rows; else a folder."""
    known = {table.name: table for tables in by_theme().values() for table in tables}
    for name, path in output.items():
        file = Path(path)
        table = next((known[key] for key in (name, file.stem, file.parts[-3]) if key in known), None)
        if table:
            write_table(path, table, [], {"screened_out": True})
        else:
            file.mkdir(parents=True, exist_ok=True)
