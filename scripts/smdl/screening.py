"""Checkpoints that the hub's own listing speaks against: their jobs end at once, with empty outputs."""

from pathlib import Path
from typing import Any

import pandas as pd

from smdl.tables import read_table, write_table
from smdl.tables.study import STUDY


def screened_out(screening: str | None, wildcards: Any) -> bool:
    """Whether the table ``screening`` excludes the checkpoint that a job's wildcards name, where they name one."""
    if screening is None or "model" not in wildcards.keys():  # noqa: SIM118 - snakemake's Wildcards are no dict
        return False
    rows: pd.DataFrame = read_table(screening)
    mine = (rows["model"] == wildcards.model) & (rows["step"] == int(wildcards.step))
    return bool(rows.loc[mine, "excluded"].any())


def leave_empty(output: Any) -> None:
    """Write every named output of a job: a table of that name without rows, or an empty folder."""
    tables = {table.name: table for table in STUDY}
    for name, path in output.items():
        if name in tables:
            write_table(path, tables[name], [], {"screened_out": True})
        else:
            Path(path).mkdir(parents=True, exist_ok=True)
