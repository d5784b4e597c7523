"""Keys and values in messages, each on one line and not without end."""

import datetime
import reprlib
from collections.abc import Iterable
from typing import Any

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_SHORT.maxlist, _SHORT.maxdict, _SHORT.maxlevel = 12, 6, 3


def shown(value: Any) -> str:
    """``value`` as it is written, cut short where it is long."""
    return _SHORT.repr(value)


def dotted(path: Iterable[str | int]) -> str:
    """The place of a key, as text of one line."""
    parts = (str(part) for part in path)
    return ".".join(part if part.isprintable() and len(part) <= 100 else shown(part) for part in parts) or "config"


def not_text(path: list[str | int], key: Any) -> str:
    """The line for a ``key`` that YAML does not read as text."""
    if isinstance(key, bool):
        what = "is what YAML reads of no, off and false" if not key else "is what YAML reads of yes, on and true"
        return f"{dotted(path)}: a name {what}; quote it"
    what = {int: "a number", float: "a number", type(None): "nothing"}.get(type(key), _kind(key))
    return f"{dotted(path)}: the name {shown(key)} is read as {what}; quote it, '{key}'"


def no_value(path: list[str | int]) -> str:
    """The line for a key, or an entry of a list, without a value."""
    return f"{dotted(path)}: nothing stands there; give it a value or leave it out"


def not_plain(path: list[str | int], value: Any) -> str:
    """The line for a ``value`` that is neither text nor a number, a list or a mapping of these."""
    quote = "; quote it" if isinstance(value, datetime.date) else "; give text, a number, a list or keys and values"
    text = str(value) if isinstance(value, datetime.date) else shown(value)
    return f"{dotted(path)}: {text} is read as {_kind(value)}{quote}"


def _kind(value: Any) -> str:
    return "a date" if isinstance(value, datetime.date) else type(value).__name__
