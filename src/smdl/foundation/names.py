"""Names and lines of text that others chose, made inert where they are shown: each way of showing has its own traps."""

import re
from typing import Any

# What moves a terminal's cursor or colours its text.
TERMINAL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
# OWASP, CSV injection: what makes a spreadsheet run a cell. Apostrophes before it count, so that one can be taken off.
FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
NUMERAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


def printable(text: str) -> str:
    """``text`` as one line that steers nothing: other white space is a space, what has no picture the sign for that."""
    text = TERMINAL.sub("", text)
    return "".join(letter if letter.isprintable() else " " if letter.isspace() else "\ufffd" for letter in text)


def in_markup(text: Any) -> str:
    """``text`` within reStructuredText: no sign of it is read as markup."""
    return PUNCTUATION.sub(r"\\\1", " ".join(printable(str(text)).split()))


def in_figure(text: str) -> str:
    """``text`` within a figure: no dollar sign of it begins mathematics."""
    return printable(text).replace("$", r"\$")


def in_cell(text: Any) -> Any:
    """``text`` as a cell of a CSV file that no spreadsheet runs: an apostrophe before what begins like a formula.

    Numbers such as -0.36, and what is no text, stay as they are. Who takes one apostrophe off where it stands before
    a formula has the text again, except for the kind of its line breaks.
    """
    if isinstance(text, str):
        # A lone carriage return would end the row.
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if isinstance(text, str) and FORMULA.match(text) and not NUMERAL.fullmatch(text):
        return f"'{text}"
    return text
