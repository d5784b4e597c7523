"""The one exception whose text is meant for the user; what the system refuses, and foreign text, on one line."""

import errno
from collections.abc import Iterable

LONGEST_SHOWN = 80
ADVICE = {
    errno.ENOSPC: "free some space and run the same command again",
    errno.EDQUOT: "the quota is used up; free some space and run the same command again",
    errno.EFBIG: "files may not be so large here: see ulimit -f, or the quota",
    errno.EACCES: "the folder must be one that you may write to",
    errno.EPERM: "the folder must be one that you may write to",
    errno.EROFS: "the folder must be one that can be written to",
}


class StudyError(Exception):
    """Something the user can put right: one line that says what is wrong, where, and what would be right."""


class Mistakes(StudyError):
    """Several of these at once: a heading, and below it ``lines``, each of which can stand alone."""

    def __init__(self, heading: str, lines: Iterable[str]) -> None:
        self.lines = tuple(lines)
        super().__init__("\n".join([heading, *(f"  {line}" for line in self.lines)]))


class WrongUsage(StudyError):
    """A command that was not given what it needs: one line that names the option."""


def refused(error: OSError) -> str:
    """What the system refuses, as one line: the file where it is known, the reason, and what would be right."""
    where = f"{error.filename}: " if error.filename is not None else ""
    advice = f"; {ADVICE[error.errno]}" if error.errno in ADVICE else ""
    return f"{where}{error.strerror or error}{advice}"


def shown(text: object) -> str:
    """``text`` of others as it may stand in a message of one line: quoted, all of it printed, and not too long."""
    quoted = ascii(text)
    return quoted if len(quoted) <= LONGEST_SHOWN else f"{quoted[: LONGEST_SHOWN - 3]}..."


def one_line(error: object) -> str:
    """An error's text, or a file's name, on one line; others may have written parts of it."""
    text = " ".join(str(error).split())
    return text if text.isprintable() else ascii(text)[1:-1]
