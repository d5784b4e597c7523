"""The report as one small file: Snakemake's page and all that it shows, compressed, and nothing of it twice.

Snakemake writes every result into its page in base 64, a page of a table beside the CSV file of the same rows, and the
libraries that draw its figures uncompressed beside those of the explorer. Here the page is packed, each packed part is
held once, and a CSV file that the columns of a table's page give again is made of these when it is asked for. Nothing
but Snakemake's page and the pictures is unpacked before the reader asks for it.
"""

import base64
import json
import re
from string import Template
from typing import Any

from snakemake.assets import Assets

from smdl.report.columns import READ, csv_of
from smdl.report.explorer import LIBRARIES
from smdl.report.offline import UNPACK, compressed, decompressed

# Snakemake's page has its results on one line.
RESULTS = re.compile(r"(?<=var results = )\{.*\}(?=;$)", re.MULTILINE)
PACKED = re.compile(r'(?<=unpack\(")([A-Za-z0-9+/=]+)(?="\))')
COLUMNS = '{"names": '
HTML, CSV, SVG = "text/html", "text/csv", "image/svg+xml"

PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Report</title></head><body>
<p>The report is being unpacked. It needs a browser of 2023 or newer, with JavaScript.</p>
<script>
(async () => {
const parts = $parts;
$unpack
$read
const joined = pieces => pieces.map(piece => typeof piece === "number" ? parts[piece] : piece).join("");
const address = (text, type) => URL.createObjectURL(new Blob([text], {type: type + ";charset=utf-8"}));
const {frame, results, held} = JSON.parse(await unpack("$frame"));
const drawn = {};
await Promise.all(Object.values(held).filter(([kind]) => kind === "drawing").map(async ([, part]) => {
  drawn[part] = await unpack(parts[part]);
}));
const addresses = {
  page: own => address(joined(own), "text/html"),
  drawing: own => address(drawn[own[0]], "image/svg+xml"),
  file: own => "data:" + own[1] + ";base64," + parts[own[0]],
};
for (const [path, result] of Object.entries(results)) {
  const [kind, ...own] = held[path];
  let known;
  const get = () => known ??= kind in addresses ? addresses[kind](own) : "#" + encodeURIComponent(path);
  Object.defineProperty(result, "data_uri", {get, enumerable: true});
}
window.unpackedResults = results;
const shown = await Promise.all(frame.map(piece => typeof piece === "number" ? unpack(parts[piece]) : piece));
document.open();
document.write(shown.join(""));
document.close();
document.addEventListener("click", async event => {
  const link = event.target.closest?.("a[download]");
  const href = link?.getAttribute("href") ?? "";
  const path = href.startsWith("#") ? decodeURIComponent(href.slice(1)) : "";
  if (!(path in held)) return;
  event.preventDefault();
  const [kind, part] = held[path], text = await unpack(parts[part]);
  download(kind === "table" ? csv(JSON.parse(text)) : text, results[path].filename);
});
})();
</script></body></html>
""")


def one_file(report: str) -> str:
    """The page ``report``, as Snakemake made it, in as few bytes as it takes to show the same.

    A page of another make, without results where they are known to be, stays as it is.
    """
    found = RESULTS.search(report)
    if not found:
        return report
    results = json.loads(found[0])
    files = {path: _content(result.pop("data_uri")) for path, result in results.items()}
    parts: dict[str, int] = {}
    held = {path: ["page", *_pieces(text.decode(), parts)] for path, (mime, text) in files.items() if mime == HTML}
    tables = _tables(parts)
    for path, (mime, content) in files.items():
        if mime == CSV:
            text = content.decode()
            held[path] = ["table", tables[text]] if text in tables else ["text", _part(compressed(text), parts)]
        elif mime == SVG:
            held[path] = ["drawing", _part(compressed(content.decode()), parts)]
        elif mime != HTML:
            held[path] = ["file", _part(base64.b64encode(content).decode(), parts), mime]
    frame = report[: found.start()] + "unpackedResults" + report[found.end() :]
    packed = {"frame": _frame(frame, parts), "results": results, "held": held}
    return PAGE.substitute(
        parts=json.dumps(list(parts), separators=(",\n", ":")),
        unpack=UNPACK,
        read=READ,
        frame=compressed(json.dumps(packed)),
    )


def _content(uri: str) -> tuple[str, bytes]:
    """The kind and the content of a file that is given as an address."""
    head, content = uri.removeprefix("data:").split("base64,", 1)
    return head.split(";")[0], base64.b64decode(content)


def _part(text: str, parts: dict[str, int]) -> int:
    return parts.setdefault(text, len(parts))


def _pieces(page: str, parts: dict[str, int]) -> list[str | int]:
    """A page cut at what is packed in it, of which only the number among ``parts`` stays."""
    return [_part(piece, parts) if i % 2 else piece for i, piece in enumerate(PACKED.split(page))]


def _frame(page: str, parts: dict[str, int]) -> list[str | int]:
    """Snakemake's page cut at the libraries, which the explorer has as well."""
    pieces: list[str | int] = []
    for name in LIBRARIES:
        before, library, page = page.partition(Assets.get_content(name))
        pieces += [before, _part(compressed(library), parts)]
    return [*pieces, page]


def _tables(parts: dict[str, int]) -> dict[str, int]:
    """The CSV files that the parts which hold a table give, each with the number of its part."""
    texts: dict[str, Any] = {decompressed(part): number for part, number in parts.items()}
    return {csv_of(json.loads(text)): number for text, number in texts.items() if text.startswith(COLUMNS)}
