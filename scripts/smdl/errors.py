"""The one exception whose text is meant for the user, and how foreign text stands in it."""

LONGEST_SHOWN = 80


class StudyError(Exception):
    """Something the user can put right: one line that says what is wrong, where, and what would be right."""


def shown(text: object) -> str:
    """``text`` of others as it may stand in a message of one line: quoted, all of it printed, and not too long."""
    quoted = ascii(text)
    return quoted if len(quoted) <= LONGEST_SHOWN else f"{quoted[: LONGEST_SHOWN - 3]}..."


def one_line(error: object) -> str:
    """An error's text, or a file's name, on one line; others may have written parts of it."""
    text = " ".join(str(error).split())
    return text if text.isprintable() else ascii(text)[1:-1]
