"""Checkpoints that the hub's own listing speaks against: their jobs end at once, with empty outputs."""

from pathlib import Path
from typing import Any

import pandas as pd

from smdl.tables import read_table, write_table
from smdl.tables.coding import BITS_BACK, CODING, PROXIES, TWO_PART
from smdl.tables.study import STUDY
from smdl.tables.sweep import SWEEP

TABLES = {table.name: table for table in (*STUDY, CODING, TWO_PART, BITS_BACK, PROXIES, SWEEP)}


def screened_out(screening: str | None, wildcards: Any) -> bool:
    """Whether the table ``screening`` excludes the checkpoint that a job's wildcards name, where they name one."""
    if screening is None or "model" not in wildcards.keys():  # noqa: SIM118 - snakemake's Wildcards are no dict
        return False
    rows: pd.DataFrame = read_table(screening)
    mine = (rows["model"] == wildcards.model) & (rows["step"] == int(wildcards.step))
    return bool(rows.loc[mine, "excluded"].any())


def leave_empty(output: Any) -> None:
    """Write every named output of a job: the table that its name, file or folder tells, without rows; else a folder."""
    for name, path in output.items():
        file = Path(path)
        table = next((TABLES[key] for key in (name, file.stem, file.parts[-3]) if key in TABLES), None)
        if table:
            write_table(path, table, [], {"screened_out": True})
        else:
            file.mkdir(parents=True, exist_ok=True)
