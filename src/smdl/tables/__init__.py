"""Tables: a declared schema each, atomic Parquet writes that carry their provenance, and a CSV twin for readers.

The schemas themselves are in the modules of this package, one theme each.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from smdl.foundation.errors import StudyError, one_line
from smdl.foundation.files import replacing
from smdl.foundation.names import in_cell

PROVENANCE_KEY = b"smdl"
ANEW = "delete it and run again: it is made again"

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
    """A declared table. ``key`` names the columns that together tell its rows apart.

    ``gathered`` says that a study has it as one file for all its checkpoints, with a CSV twin and a page.
    """

    name: str
    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    gathered: bool = False

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
        pq.write_table(arrow, temporary, compression="zstd", write_page_checksum=True)


def write_csv(path: str | Path, table: Table, rows: pd.DataFrame | list[dict[str, Any]]) -> None:
    """Write ``rows`` as CSV under ``path`` atomically, for people and for the report.

    A text that a spreadsheet would take for a formula gets an apostrophe before it (smdl.foundation.names).
    """
    shown = table.conform(rows)
    texts = [column.name for column in table.columns if column.type == TEXT]
    with replacing(path) as temporary:
        shown.assign(**{name: shown[name].map(in_cell) for name in texts}).to_csv(temporary, index=False)


def empty(table: Table) -> pd.DataFrame:
    """The table without rows, its columns of the declared types."""
    return table.schema.empty_table().to_pandas()


@contextmanager
def reading(path: str | Path, what: str) -> Iterator[None]:
    """Tell whatever goes wrong with reading ``path`` as one line: its name, and what to do about it.

    A file that is not there is the caller's matter: it may have gone while a run goes on.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        # pyarrow's word for damage has no number; a disk's error has one.
        if error.errno is None:
            raise StudyError(f"{one_line(path)}: not a whole {what} ({one_line(error)}): {ANEW}") from error
        raise StudyError(f"{one_line(path)}: cannot be read ({error.strerror or one_line(error)})") from error
    except (pa.ArrowException, ValueError, EOFError) as error:
        raise StudyError(f"{one_line(path)}: not a whole {what} ({one_line(error)}): {ANEW}") from error


def read_table(path: str | Path) -> pd.DataFrame:
    """The rows of a Parquet file; StudyError, in one line, where it is damaged."""
    return _read(path).to_pandas()


def read_tables(paths: str | list[str]) -> pd.DataFrame:
    """The rows of one or several Parquet files of one schema, in the order given; StudyError where one is damaged."""
    paths = [paths] if isinstance(paths, str) else paths
    tables = [_read(path) for path in paths]
    for path, table in zip(paths, tables, strict=True):
        if not table.schema.equals(tables[0].schema):
            raise StudyError(f"{one_line(path)}: other columns than {one_line(paths[0])} has: {ANEW}")
    return pa.concat_tables(tables).to_pandas()


def read_provenance(path: str | Path) -> dict[str, Any]:
    """What a Parquet file says of its making; StudyError, in one line, where it is damaged or says nothing."""
    with reading(path, "Parquet file"):
        record = json.loads((pq.read_schema(path).metadata or {}).get(PROVENANCE_KEY, b"null"))
    if not isinstance(record, dict):
        raise StudyError(f"{one_line(path)}: does not say how it was made, so it is not of this workflow: {ANEW}")
    return record


def _read(path: str | Path) -> pa.Table:
    read_provenance(path)
    with reading(path, "Parquet file"):
        return pq.ParquetFile(path, page_checksum_verification=True).read().replace_schema_metadata(None)


def digest_of(*parts: Any) -> str:
    """A digest of JSON-like values in which the order of keys does not count."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
