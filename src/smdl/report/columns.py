"""A table as its columns: the form in which a page holds it, small once compressed, and which gives its CSV file again.

A column of text is a list; one of numbers or flags is one line with the cells of the CSV file, a space between two: in
full precision, and a column at a time compresses far better than rows do.
"""

import csv
import io
import json
from typing import Any

import pandas as pd

from smdl.foundation.names import FORMULA, NUMERAL, in_cell
from smdl.tables import TEXT, Table

# A browser's digits are those of ASCII only; Python's are those of every script.
FORMULA_THERE, NUMERAL_THERE = (
    json.dumps(expression.pattern.replace(r"\d", r"\p{Nd}")) for expression in (FORMULA, NUMERAL)
)

# What a page needs to read a table's columns and to give them as CSV: smdl.foundation.names.in_cell, in a browser.
READ = (
    f"""
const formula = new RegExp("^(?:" + {FORMULA_THERE} + ")", "u");
const numeral = new RegExp("^(?:" + {NUMERAL_THERE} + ")$", "iu");
"""
    + r"""
function cells({rows, columns}) {
  return columns.map(column => typeof column === "string" ? column.split(" ").slice(0, rows) : column);
}
function inCell(text) {
  const kept = (text ?? "").replace(/\r\n?/g, "\n");
  const safe = formula.test(kept) && !numeral.test(kept) ? "'" + kept : kept;
  return /[",\n]/.test(safe) ? '"' + safe.replaceAll('"', '""') + '"' : safe;
}
function csv(table) {
  const columns = cells(table).map((own, i) => typeof table.columns[i] === "string" ? own : own.map(inCell));
  const lines = [table.names.join(",")];
  for (let row = 0; row < table.rows; row++) lines.push(columns.map(column => column[row]).join(","));
  return lines.join("\n") + "\n";
}
function download(text, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], {type: "text/csv"}));
  link.download = name;
  link.click();
}
"""
)


def columns(table: Table, rows: pd.DataFrame, written: pd.DataFrame | None = None) -> dict[str, Any]:
    """The ``rows`` of ``table`` as columns, numbers as they are ``written`` in its CSV file, where there is one.

    A CSV file may have a whole number without a point in a column whose other numbers have one.
    """
    written = rows if written is None else written
    return {
        "names": [column.name for column in table.columns],
        "rows": len(rows),
        "columns": [_texts(rows[c.name]) if c.type == TEXT else _cells(written[c.name]) for c in table.columns],
    }


def _texts(column: pd.Series) -> list[str | None]:
    return [text if isinstance(text, str) else None for text in column]


def _cells(column: pd.Series) -> str:
    # An empty cell alone in its row is quoted.
    return column.to_csv(index=False, header=False).replace('""', "").removesuffix("\n").replace("\n", " ")


def csv_of(table: dict[str, Any]) -> str:
    """The CSV file of a table that is given as columns, as smdl.tables.write_csv writes it."""
    own = [
        column.split(" ") if isinstance(column, str) else ["" if text is None else in_cell(text) for text in column]
        for column in table["columns"]
    ]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table["names"])
    writer.writerows(zip(*own, strict=True) if table["rows"] else ())
    return text.getvalue()
