"""Where the installed library is from: a clone of the workflow, or a git repository that pip took it out of."""

import json
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from smdl.foundation.errors import StudyError

ABOVE = Path(__file__).parents[3]


def workflow_folder() -> Path:
    """The folder of the workflow, in which the library lies; StudyError where it was installed without."""
    if not (ABOVE / "Snakefile").is_file():
        raise StudyError(
            "this command runs the workflow, and smdl is installed without it: install a clone in its place,"
            " python -m pip install --editable FOLDER"
        )
    return ABOVE


def installed_version() -> str:
    """The version of the library that pip installed; ``unknown`` where a path to it is all there is."""
    try:
        return version("smdl")
    except PackageNotFoundError:
        return "unknown"


def installed_commit() -> str | None:
    """The commit that pip took the library out of a git repository at; None where it took it from a folder."""
    try:
        origin = json.loads(distribution("smdl").read_text("direct_url.json") or "{}")
    except PackageNotFoundError:
        return None
    return origin.get("vcs_info", {}).get("commit_id")
