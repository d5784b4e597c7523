"""Writing ``ro-crate-metadata.json`` beside a study's results: a Provenance Run Crate.

It says what is there when it is made: of every file the size and the SHA-256, and of every job that is recorded what it
read and made, with which software and settings, when, and by whom. Profile: https://w3id.org/ro/wfrun/provenance/0.5
"""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from rocrate.model.metadata import BASENAME

from smdl.crate.describe import describe
from smdl.foundation.errors import StudyError
from smdl.foundation.files import replacing, replacing_folder
from smdl.runtime.installed import workflow_folder
from smdl.runtime.records import runs

# The workflow's own files, copied beside the results, so that the crate holds the workflow that its runs are runs of.
WORKFLOW = "workflow"
# What tells of the computer rather than of the study.
LEFT_OUT = "logs"


def make(study: Path, agent: str | None = None, license_: str | None = None) -> Path:
    """Write the crate of the study in the folder ``study``, to be called where Snakemake ran; the path of its metadata.

    ``agent`` is who ran the study, by default the account that its files belong to; ``license_`` that of the results.
    Raises StudyError where Snakemake has no record of how any file of the study was made.
    """
    if not (found := runs(map(str, study.rglob("*")))):
        raise StudyError(f"{study}: no file of it is in the records of Snakemake, so nothing is known of its runs")
    with replacing_folder(study / WORKFLOW) as folder:
        shutil.copy(workflow_folder() / "Snakefile", folder)
        shutil.copytree(workflow_folder() / "rules", folder / "rules")
    crate = describe(
        study, result_files(study), found, agent or _owner(study / "config.yaml"), license_ or "none was stated"
    )
    path = study / BASENAME
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(crate.metadata.generate(), indent=1, ensure_ascii=False) + "\n")
    return path


def result_files(study: Path) -> Iterable[Path]:
    """The files of a study that a crate tells of, in order: all but logs, hidden ones and the crate's own metadata."""
    for path in sorted(study.rglob("*")):
        parts = path.relative_to(study).parts
        hidden = any(part.startswith(".") for part in parts)
        if path.is_file() and not hidden and parts[0] != LEFT_OUT and parts != (BASENAME,):
            yield path


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except KeyError:
        return f"user {path.stat().st_uid}"
