"""Tables: a declared schema each, atomic Parquet writes that carry their provenance, and a CSV twin for readers.

The schemas themselves are in the modules of this package, one theme each.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from smdl.errors import StudyError
from smdl.files import replacing

PROVENANCE_KEY = b"smdl"

TEXT = pa.string()
INTEGER = pa.int64()
NUMBER = pa.float64()
FLAG = pa.bool_()


@dataclass(frozen=True)
class Column:
    """One column: its Arrow type, what it means, and the unit (empty where there is none)."""

    name: str
    type: pa.DataType
    description: str
    unit: str = ""


@dataclass(frozen=True)
class Table:
    """A declared table. ``key`` names the columns that together tell its rows apart."""

    name: str
    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema, with unit and description in each field's metadata."""
        return pa.schema(
            pa.field(c.name, c.type, metadata={"description": c.description, "unit": c.unit}) for c in self.columns
        )

    def conform(self, rows: pd.DataFrame | list[dict[str, Any]]) -> pd.DataFrame:
        """Rows with exactly the declared columns, in order; raises StudyError on a missing, unknown or repeated one."""
        names = [c.name for c in self.columns]
        frame = pd.DataFrame(rows, columns=None if len(rows) else names)
        missing, unknown = set(names) - set(frame.columns), set(frame.columns) - set(names)
        if missing or unknown:
            raise StudyError(f"table {self.name}: missing columns {sorted(missing)}, unknown columns {sorted(unknown)}")
        repeated = frame.duplicated(list(self.key))
        if repeated.any():
            first = frame.loc[repeated.idxmax(), list(self.key)].to_dict()
            raise StudyError(f"table {self.name}: {int(repeated.sum())} rows repeat a key, the first {first}")
        return frame[names]


def write_table(
    path: str | Path, table: Table, rows: pd.DataFrame | list[dict[str, Any]], provenance: dict[str, Any]
) -> None:
    """Write ``rows`` as Parquet under ``path`` atomically, with ``provenance`` as JSON in the file's metadata."""
    arrow = pa.Table.from_pandas(table.conform(rows), schema=table.schema, preserve_index=False)
    arrow = arrow.replace_schema_metadata({PROVENANCE_KEY: json.dumps({"table": table.name, **provenance})})
    with replacing(path) as temporary:
        pq.write_table(arrow, temporary, compression="zstd")


def write_csv(path: str | Path, table: Table, rows: pd.DataFrame | list[dict[str, Any]]) -> None:
    """Write ``rows`` as CSV under ``path`` atomically, for people and for the report."""
    with replacing(path) as temporary:
        table.conform(rows).to_csv(temporary, index=False)


def empty(table: Table) -> pd.DataFrame:
    """The table without rows, its columns of the declared types."""
    return table.schema.empty_table().to_pandas()


def read_table(path: str | Path) -> pd.DataFrame:
    """The rows of a Parquet file."""
    return pq.read_table(path).to_pandas()


def read_tables(paths: str | list[str]) -> pd.DataFrame:
    """The rows of one or several Parquet files of one schema, in the order given."""
    paths = [paths] if isinstance(paths, str) else paths
    return pa.concat_tables([pq.read_table(path).replace_schema_metadata(None) for path in paths]).to_pandas()


def read_provenance(path: str | Path) -> dict[str, Any]:
    """What a Parquet file says of its making."""
    return json.loads(pq.read_schema(path).metadata[PROVENANCE_KEY])


def digest_of(*parts: Any) -> str:
    """A digest of JSON-like values in which the order of keys does not count."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
