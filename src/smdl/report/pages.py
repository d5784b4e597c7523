"""A table as one HTML page that sorts and filters, with nothing to load from elsewhere."""

import html
import json
from string import Template

import pandas as pd

from smdl.report.offline import LARGEST, UNPACK, packed
from smdl.tables import Column, Table

PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>$name</title><style>
body { font: 13px/1.4 system-ui, sans-serif; margin: 1.2em; color: #1a1a1a }
table { border-collapse: collapse } th, td { padding: 2px 8px; text-align: left; white-space: nowrap }
td { max-width: 32em; overflow: hidden; text-overflow: ellipsis } td.number { text-align: right }
thead th { position: sticky; top: 0; background: #fff; border-bottom: 1px solid #888; vertical-align: bottom }
thead button { font: inherit; font-weight: 600; border: 0; background: none; padding: 0; cursor: pointer }
thead input { width: 6em; font: inherit; border: 1px solid #ccc; border-radius: 3px }
tbody tr:nth-child(odd) { background: #f5f5f5 } dt { font-weight: 600 } dd { margin: 0 0 .3em 1.2em }
</style></head><body>
<h1>$name</h1><p>$description Click a column's name to sort by it. Type under it to filter: part of a text, or
a number with &lt;, &gt; or = before it.</p>
<p id="count"></p><table><thead><tr id="head"></tr></thead><tbody id="body"></tbody></table>
<h2>Columns</h2><dl>$glossary</dl>
<script>$unpack
const columns = $columns, most = 500; let rows = [];
const filters = columns.map(() => ""); let by = -1, up = true;
const shown = v => v === null ? "" : String(typeof v === "number" && !Number.isInteger(v) ? +v.toPrecision(5) : v);
function passes(value, filter) {
  const bound = filter.match(/^([<>=])\\s*(-?[\\d.]+(?:e-?\\d+)?)$$/i);
  if (bound && typeof value === "number")
    return { "<": value < +bound[2], ">": value > +bound[2], "=": value === +bound[2] }[bound[1]];
  return shown(value).toLowerCase().includes(filter.toLowerCase());
}
function compare(a, b) {
  if (a === null || b === null) return (a === null) - (b === null);
  return (up ? 1 : -1) * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
}
function draw() {
  let kept = rows.filter(row => filters.every((filter, i) => !filter || passes(row[i], filter)));
  if (by >= 0) kept = kept.toSorted((a, b) => compare(a[by], b[by]));
  document.getElementById("count").textContent =
    kept.length + " of " + rows.length + " rows" + (kept.length > most ? ", the first " + most + " shown" : "");
  document.getElementById("body").replaceChildren(...kept.slice(0, most).map(row => {
    const line = document.createElement("tr");
    for (const value of row) {
      const cell = line.insertCell();
      cell.textContent = cell.title = shown(value);
      if (typeof value === "number") cell.className = "number";
    }
    return line;
  }));
}
columns.forEach((name, i) => {
  const [cell, button, filter] = ["th", "button", "input"].map(name => document.createElement(name));
  button.textContent = name; filter.setAttribute("aria-label", "filter " + name);
  button.onclick = () => { up = by === i ? !up : true; by = i; draw(); };
  filter.oninput = () => { filters[i] = filter.value.trim(); draw(); };
  cell.append(button, document.createElement("br"), filter);
  document.getElementById("head").append(cell);
});
$rows.then(text => { rows = JSON.parse(text); draw(); });
</script></body></html>
""")


def page(table: Table, rows: pd.DataFrame) -> str:
    """The page of ``rows``, with the meaning and unit of every column below them.

    Where a page of all rows would be more than a browser opens within a report, it holds the first of them and says so.
    """
    names = [column.name for column in table.columns]
    shown, count = "", len(rows)
    while not shown or len(shown) > LARGEST:
        cut = f" Only the first {count} of {len(rows)} rows fit in here; the CSV file has all." if shown else ""
        shown = PAGE.substitute(
            name=html.escape(table.name),
            description=html.escape(table.description) + cut,
            glossary="".join(_entry(column) for column in table.columns),
            columns=json.dumps(names),
            unpack=UNPACK,
            rows=packed(rows[names].head(count).to_json(orient="values", double_precision=12)),
        )
        count = count // 2
    return shown


def _entry(column: Column) -> str:
    unit = f" ({html.escape(column.unit)})" if column.unit else ""
    return f"<dt>{html.escape(column.name)}{unit}</dt><dd>{html.escape(column.description)}</dd>"
