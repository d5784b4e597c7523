"""Making the report of a study, finished or not, with Snakemake."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import yaml

from smdl.foundation.errors import StudyError
from smdl.foundation.files import replacing
from smdl.report.front import front_page
from smdl.report.one_file import one_file
from smdl.runtime.installed import workflow_folder
from smdl.runtime.progress import DONE, progress, snakemake
from smdl.settings.config import settings
from smdl.study.study import Study
from smdl.tables import read_table

MADE = ("report.html", "report.zip")
STYLE = "docs/captions/report.css"


def make(study: Path) -> list[Path]:
    """Write ``report.html`` and ``report.zip`` into the folder ``study`` from what is there; their paths.

    The front page is written first, to ``report/front.rst``, where the workflow's ``report`` directive finds it.
    Tables and figures that wait to be made again are left out, as those that are not there. Raises StudyError where
    there is nothing to show.
    """
    jobs = progress(study)
    files = finished(study, jobs)
    if not files:
        raise StudyError(f"nothing of {study} is finished that a report could show")
    tables = {Path(path).stem: read_table(path) for path in files if path.endswith(".parquet")}
    understood = settings(yaml.safe_load((study / "config.yaml").read_text()), Study)
    with replacing(study / "report/front.rst") as temporary:
        temporary.write_text(front_page(understood, tables, jobs))
    # Snakemake names the folder in the zip after the file, so that the names must be the final ones.
    with TemporaryDirectory(dir=study, prefix=".report") as folder:
        made = [str(Path(folder) / name) for name in MADE]
        with ThreadPoolExecutor() as pool:
            style = ["--report-stylesheet", str(workflow_folder() / STYLE)]
            list(pool.map(lambda path: snakemake(study, "--report", path, *style, "--", *files), made))
        page = Path(folder) / "report.html"
        page.write_text(one_file(page.read_text(encoding="utf-8")), encoding="utf-8")
        for name in MADE:
            (Path(folder) / name).replace(study / name)
    return [study / name for name in MADE]


def finished(study: Path, jobs: pd.DataFrame) -> list[str]:
    """The tables, figures and pages of the study that are there and up to date."""
    folders = [(*study.parts, name) for name in ("tables", "figures", "report")]
    outputs = jobs.loc[jobs["state"] == DONE, "outputs"].explode()
    return [path for path in outputs if Path(path).parts[: len(study.parts) + 1] in folders]
