"""Building a study's paper: a PDF by Typst, and its tables in LaTeX."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib
import typst
import yaml

from smdl.foundation.errors import StudyError
from smdl.foundation.files import replacing_folder
from smdl.paper.contents import contents
from smdl.paper.tables import shown
from smdl.report.make import finished
from smdl.runtime.progress import progress
from smdl.runtime.records import runs
from smdl.settings.config import settings
from smdl.study.study import Study
from smdl.tables import read_table

HERE = Path(__file__).parent
TEMPLATES = ("paper.typ", "look.typ")
NEEDED = ("checkpoints", "critical", "exclusions", "llc", "points", "regressions", "rulers", "runs")
# The letters in figures are those of matplotlib, whatever the system has; all others come with Typst.
FONTS = Path(matplotlib.get_data_path()) / "fonts/ttf"
ACCESSIBLE = "ua-1"


def make(study: Path) -> list[Path]:
    """Write ``paper/paper.pdf`` and ``paper/*.tex`` into the folder ``study`` from its tables and figures; their paths.

    The same results give the same bytes. Raises StudyError, in one line, where a table is missing or waits to be made
    again.
    """
    files = [Path(path) for path in finished(study, progress(study))]
    tables = {path.stem: path for path in files if path.suffix == ".parquet"}
    if missing := [name for name in NEEDED if name not in tables]:
        raise StudyError(f"{study}: no paper without the tables {', '.join(missing)}: run the study to its end first")
    config = study / "config.yaml"
    understood = settings(yaml.safe_load(config.read_text()), Study)
    rows = {name: read_table(path) for name, path in tables.items()}
    printed = list(shown(understood, rows))
    drawings = [path for path in files if path.suffix == ".svg"]
    ended = max((run.ended for run in runs(map(str, tables.values()))), default=None)
    told = contents(understood, rows, printed, drawings, config, _day(ended))
    with replacing_folder(study / "paper") as folder:
        for table in printed:
            (folder / f"{table.name}.tex").write_text(table.latex())
        (folder / "paper.pdf").write_bytes(pdf(told, drawings))
    return sorted((study / "paper").iterdir())


def pdf(told: dict, drawings: list[Path], **form) -> bytes:
    """The paper of the contents ``told`` with the figures in ``drawings``: a PDF, or another ``form`` of Typst's."""
    with TemporaryDirectory() as folder:
        for path in (*(HERE / name for name in TEMPLATES), *drawings):
            shutil.copy(path, folder)
        data = Path(folder) / "data.json"
        data.write_text(json.dumps(told))
        # Without the system's fonts and without a date of its own, the same contents give the same bytes.
        form = form or {"format": "pdf", "pdf_standards": ACCESSIBLE}
        main = Path(folder) / TEMPLATES[0]
        return typst.compile(main, root=folder, font_paths=[FONTS], ignore_system_fonts=True, **form)


def _day(seconds: float | None) -> str:
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%-d %B %Y}"
