"""Which files of a folder hold text, by their names, and whether that can be enough: cheap, since nothing is read."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from smdl.foundation.errors import StudyError, one_line

FORMS = (".txt", ".jsonl", ".json", ".parquet")
PACKED = (".gz", ".zst")
# Lengths of the texts that packages ship, in UTF-8 (bytes).
PACKAGE_BYTES = {"kjv": 4_137_451, "factbook": 2_911_776}


def files_below(folder: str | Path) -> Iterator[Path]:
    """The paths below ``folder`` whose names tell a known form, links followed, as they are found.

    Raises StudyError for a folder that cannot be read, and for a link to one of the folders around it.
    """

    def unread(error: OSError) -> None:
        raise StudyError(f"corpus.path: {one_line(error.filename)} cannot be read ({error.strerror})")

    for place, folders, files in os.walk(folder, onerror=unread, followlinks=True):
        here = Path(place)
        for link in (here / name for name in folders if (here / name).is_symlink()):
            if os.path.realpath(link) in {os.path.realpath(parent) for parent in (here, *here.parents)}:
                raise StudyError(f"corpus.path: {one_line(link)} is a link to a folder around it: remove it")
        yield from (here / name for name in files if form_of(name))


def most_tokens(folder: str | Path, needed: int) -> int | None:
    """How many tokens the files below ``folder`` can give at most: a token has a byte at least, and a text its end.

    None where they may give ``needed`` or more, as far as sizes tell: what packed files hold is not known.
    """
    found = 0
    for path in files_below(folder):
        if not path.is_file() or form_of(path.name) == ".parquet" or path.suffix in PACKED:
            return None
        found += path.stat().st_size + 1
        if found >= needed:
            return None
    return found


def form_of(name: str) -> str | None:
    """The suffix that says how to read a file, compression aside; None for a file that is no text."""
    path = PurePosixPath(name)
    suffix = PurePosixPath(path.stem).suffix if path.suffix in PACKED else path.suffix
    return suffix if suffix in FORMS and not (suffix == ".parquet" and path.suffix in PACKED) else None


def known_forms() -> str:
    """The suffixes, for messages."""
    return "/".join(FORMS) + " (or .gz, .zst)"
