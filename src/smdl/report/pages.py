"""A table as one HTML page that sorts and filters, with nothing to load from elsewhere."""

import html
import json
from string import Template

import pandas as pd

from smdl.report.columns import READ, columns
from smdl.report.offline import UNPACK, packed
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
@page { size: landscape; margin: 1cm }
@media print {
  #tools button, thead input, thead br { display: none }
  body { margin: 0; font-size: 8px } thead th { position: static }
  th, td { white-space: normal; overflow-wrap: anywhere; padding: 1px 3px } tr { break-inside: avoid }
}
</style></head><body>
<h1>$name</h1><p>$description Click a column's name to sort by it. Type under it to filter: part of a text, or
a number with &lt;, &gt; or = before it.</p>
<p id="tools"><span id="count"></span> <button id="back">Back</button> <button id="on">On</button>
<button id="csv">Save as CSV</button> <button id="print">Print</button></p>
<table><thead><tr id="head"></tr></thead><tbody id="body"></tbody></table>
<h2>Columns</h2><dl>$glossary</dl>
<script>$unpack$read
const names = $names, most = 200, mostPrinted = 2000, at = id => document.getElementById(id);
let table, values, kept = [], first = 0, by = -1, up = true;
const filters = names.map(() => "");
const value = cell => cell === "" ? null : /^-?inf$$/.test(cell) ? +(cell + "inity").replace("inf", "Inf")
  : isNaN(+cell) ? cell : +cell;
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
function choose() {
  kept = [...Array(table.rows).keys()].filter(row => filters.every((f, i) => !f || passes(values[i][row], f)));
  if (by >= 0) kept.sort((a, b) => compare(values[by][a], values[by][b]));
  first = 0;
  draw();
}
function draw(from = first, count = most) {
  const rows = kept.slice(from, from + count), all = kept.length < table.rows ? ", of " + table.rows + " in all" : "";
  at("count").textContent = rows.length < kept.length
    ? "Rows " + (from + 1) + " to " + (from + rows.length) + " of " + kept.length + all : kept.length + " rows" + all;
  at("back").disabled = from === 0;
  at("on").disabled = from + count >= kept.length;
  at("body").replaceChildren(...rows.map(row => {
    const line = document.createElement("tr");
    for (const own of values) {
      const cell = line.insertCell();
      cell.textContent = shown(own[row]);
      cell.title = own[row] ?? "";
      if (typeof own[row] === "number") cell.className = "number";
    }
    return line;
  }));
}
names.forEach((name, i) => {
  const [cell, button, filter] = ["th", "button", "input"].map(name => document.createElement(name));
  button.textContent = name; filter.setAttribute("aria-label", "filter " + name);
  button.onclick = () => { up = by === i ? !up : true; by = i; choose(); };
  filter.oninput = () => { filters[i] = filter.value.trim(); choose(); };
  cell.append(button, document.createElement("br"), filter);
  at("head").append(cell);
});
at("back").onclick = () => draw(first -= most);
at("on").onclick = () => draw(first += most);
at("csv").onclick = () => download(csv(table), document.title + ".csv");
at("print").onclick = () => print();
addEventListener("beforeprint", () => draw(0, mostPrinted));
addEventListener("afterprint", () => draw());
$table.then(text => {
  table = JSON.parse(text);
  values = cells(table).map((own, i) => typeof table.columns[i] === "string" ? own.map(value) : own);
  choose();
});
</script></body></html>
""")


def page(table: Table, rows: pd.DataFrame, written: pd.DataFrame | None = None) -> str:
    """The page of ``rows``, with the meaning and unit of every column below them.

    ``written`` are the cells of the table's CSV file, which the page gives again, where it has one.
    """
    held = columns(table, rows, written)
    return PAGE.substitute(
        name=html.escape(table.name),
        description=html.escape(table.description),
        glossary="".join(_entry(column) for column in table.columns),
        names=json.dumps(held["names"]),
        unpack=UNPACK,
        read=READ,
        table=packed(json.dumps(held, separators=(",", ": "))),
    )


def _entry(column: Column) -> str:
    unit = f" ({html.escape(column.unit)})" if column.unit else ""
    return f"<dt>{html.escape(column.name)}{unit}</dt><dd>{html.escape(column.description)}</dd>"
