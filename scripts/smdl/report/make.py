"""Making the report of a study, finished or not, with Snakemake."""

from pathlib import Path

import yaml

from smdl.files import replacing
from smdl.progress import ROOT, progress, snakemake
from smdl.report.front import front_page
from smdl.tables import read_table

STYLE = ROOT / "docs/captions/report.css"


def make(study: Path) -> list[Path]:
    """Write ``report.html`` and ``report.zip`` into the folder ``study`` from what is there; their paths.

    The front page is written first, to ``report/front.rst``, where the workflow's ``report`` directive finds it.
    Raises StudyError where no study has begun.
    """
    jobs = progress(study)
    tables = {path.stem: read_table(path) for path in sorted(study.glob("tables/*.parquet"))}
    config = yaml.safe_load((study / "config.yaml").read_text())
    with replacing(study / "report/front.rst") as temporary:
        temporary.write_text(front_page(config, tables, jobs))
    made = [study / "report.html", study / "report.zip"]
    for path in made:
        with replacing(path) as temporary:
            snakemake(study, "available", "--report", str(temporary), "--report-html-stylesheet-path", str(STYLE))
    return made
