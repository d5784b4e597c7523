"""The report of a finished study: its bytes by part, and the seconds until a reader can use it.

    make mini && python benchmarks/report.py [--results results/mini]      writes results/benchmarks/report.json

The yardsticks are made in the same run. Bytes: Snakemake's own page with the same results. Seconds, in a headless
Chromium: an empty page and Snakemake's own for the report, which can be used when its front page and menu stand; for
its longest table, of which after a click the first rows are drawn, the same table as plain HTML. Each is the median of
several times.
"""

import argparse
import json
import re
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from chromium import Browser  # noqa: E402 - of the tests
from smdl.report.make import STYLE, finished  # noqa: E402
from smdl.report.offline import decompressed  # noqa: E402
from smdl.report.one_file import RESULTS, one_file  # noqa: E402
from smdl.runtime.progress import enter, progress, snakemake  # noqa: E402
from smdl.tables import read_table  # noqa: E402

OUTPUT = ROOT / "results/benchmarks/report.json"
TIMES = 7
PARTS, FRAME = re.compile(r"^const parts = (\[.*?\]);$", re.MULTILINE | re.DOTALL), re.compile(r'unpack\("([^"]+)"\)')
USABLE = "!!document.querySelector('nav') && (document.querySelector('.prose')?.innerText.length > 0)"
DRAWN = "document.querySelectorAll('tbody tr').length > 0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=ROOT / "results/mini")
    study = enter(parser.parse_args().results)
    with tempfile.TemporaryDirectory() as folder:
        told = measured(study, Path(folder))
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(told, indent=2) + "\n")
    for name, own in told.items():
        print(name)
        for part, value in own.items():
            print(f"  {part:42} {value:>12,}" if isinstance(value, int) else f"  {part:42} {value:12.3f}")


def measured(study: Path, folder: Path) -> dict[str, dict[str, Any]]:
    """Bytes and seconds of the report of ``study``, whose pages are made in ``folder``."""
    plain, small, empty, rows = (folder / f"{name}.html" for name in ("plain", "small", "empty", "rows"))
    files = finished(study, progress(study))
    snakemake(study, "--report", str(plain), "--report-stylesheet", str(STYLE), "--", *files)
    text = plain.read_text(encoding="utf-8")
    small.write_text(one_file(text), encoding="utf-8")
    empty.write_text("<!doctype html><title>empty</title><nav></nav><p class=prose>nothing</p>")
    table = max((study / "tables").glob("*.parquet"), key=lambda path: path.with_suffix(".csv").stat().st_size)
    rows.write_text(read_table(table).to_html())
    name = str(study / f"report/{table.stem}.html")
    browser = Browser(folder / "profile")
    try:
        seconds = {page.stem: timed(browser, page, USABLE) for page in (empty, plain, small)}
        drawn = {"plain HTML": timed(browser, rows, DRAWN), "small": timed(browser, small, USABLE, name)}
        assert not browser.errors, browser.errors
    finally:
        browser.close()
    parts, size = of_parts(small.read_text(encoding="utf-8")), small.stat().st_size
    return {
        "bytes": {**parts, "in all": size},
        "bytes, Snakemake's own page": {**of_results(text), "in all": plain.stat().st_size},
        "seconds until the report can be used": seconds,
        f"seconds until the table {table.stem} is drawn": drawn,
        "ratios": {
            "bytes, to Snakemake's own page": size / plain.stat().st_size,
            "seconds, to an empty page": seconds["small"] / seconds["empty"],
            "seconds, to Snakemake's own page": seconds["small"] / seconds["plain"],
            "seconds of the table, to plain HTML": drawn["small"] / drawn["plain HTML"],
        },
    }


def kind(path: str) -> str:
    """What a result is counted under."""
    if path.endswith("explorer.html"):
        return "explorer"
    return {".csv": "CSV files", ".html": "pages of tables"}.get(Path(path).suffix, "pictures")


def of_results(text: str) -> dict[str, int]:
    """The bytes of Snakemake's own page by kind of result, and of all around them."""
    bytes_of: dict[str, int] = {}
    for path, its in json.loads(RESULTS.search(text)[0]).items():
        bytes_of[kind(path)] = bytes_of.get(kind(path), 0) + len(its["data_uri"])
    return {**bytes_of, "frame": len(text.encode()) - sum(bytes_of.values())}


def of_parts(text: str) -> dict[str, int]:
    """The bytes of the report by kind of result, each part under the first that uses it, and the largest tables."""
    parts = json.loads(PARTS.search(text)[1])
    frame = FRAME.search(text)[1]
    packed = json.loads(decompressed(frame))
    owners = dict.fromkeys((piece for piece in packed["frame"] if isinstance(piece, int)), "libraries")
    tables: dict[str, int] = {}
    for path, own in packed["held"].items():
        for piece in own:
            if isinstance(piece, int):
                owners.setdefault(piece, kind(path))
                if kind(path) == "pages of tables":
                    tables[path] = len(parts[piece])
    bytes_of: dict[str, int] = {}
    for piece, owner in owners.items():
        bytes_of[owner] = bytes_of.get(owner, 0) + len(parts[piece])
    bytes_of["frame, captions and shells of pages"] = len(frame)
    bytes_of["script that unpacks"] = len(text.encode()) - sum(bytes_of.values())
    largest = sorted(tables, key=tables.get, reverse=True)[:6]
    return {**bytes_of, **{f"  of these {Path(path).stem}": tables[path] for path in largest}}


def timed(browser: Browser, page: Path, condition: str, table: str | None = None) -> float:
    """The median seconds from opening a page until a condition holds, or then from a click until a table is drawn."""
    found = []
    for _ in range(TIMES):
        browser.call("Page.navigate", url="about:blank")
        started = time.perf_counter()
        browser.call("Page.navigate", url=page.as_uri())
        until(browser, condition)
        if table:
            browser.click("Tables")
            started = time.perf_counter()
            browser.run(f"app.setView({{content: 'html', contentPath: results[{json.dumps(table)}].data_uri}})")
            until(browser, DRAWN, within=True)
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def until(browser: Browser, condition: str, within: bool = False) -> None:
    """Wait until a condition holds in the page, or in the page within it; an error after a minute."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        # What is asked of a page that is just being replaced has no answer.
        with suppress(RuntimeError):
            if holds(browser, condition, within):
                return
        time.sleep(0.01)
    raise AssertionError(f"not within a minute: {condition}")


def holds(browser: Browser, condition: str, within: bool) -> bool:
    """Whether a condition holds in the page, or in the page within it."""
    if within:
        with browser.within():
            return holds(browser, condition, within=False)
    return browser.run(condition) is True


if __name__ == "__main__":
    main()
