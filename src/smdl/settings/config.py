"""From a config file to the settings of a study or an experiment, as types or as plain dictionaries.

Every problem is found at once and said in one line: the key, the value, and what would be right.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from smdl.foundation.errors import Mistakes
from smdl.settings.base import Config, Section
from smdl.settings.wording import no_value, not_plain, not_text, shown

MOST_ENTRIES = 100_000
DEEPEST = 20
Kind = TypeVar("Kind", bound=Config)


def plain(settings: Section) -> dict[str, Any]:
    """A section as plain values, what is not set left out."""
    return _dumped(settings, None)


def understood(raw: Any, kind: type[Kind]) -> tuple[dict[str, Any], Kind]:
    """The configuration as plain values and as types, with numbers converted and defaults filled in.

    ``kind`` is what it is checked against: a study, or an experiment. Keys of the plain values stand in the order of
    ``raw``, and those that it leaves out after them. Raises Mistakes, one line per problem, where anything is wrong.
    """
    lines: list[str] = []
    copied = _Copy(lines).of(raw, [])
    if not isinstance(copied, dict):
        raise _not_right([f"config: {shown(copied)} is not of type object; give keys and values"])
    try:
        typed = kind.model_validate(copied)
    except ValidationError as error:
        # What explains a mistake is not imported for a config without one: Snakemake starts twice per job.
        from smdl.settings.problems import problems

        raise _not_right(lines + problems(error, copied, kind)) from None
    lines += [] if lines else typed.conflicts()
    if lines:
        raise _not_right(lines)
    return _dumped(typed, copied), typed


def validated(raw: Any, kind: type[Config]) -> dict[str, Any]:
    """The plain values of ``understood``."""
    return understood(raw, kind)[0]


def settings(raw: Any, kind: type[Kind]) -> Kind:
    """The types of ``understood``."""
    return understood(raw, kind)[1]


def _not_right(lines: list[str]) -> Mistakes:
    return Mistakes("the configuration is not right:", lines)


class _Copy:
    """Copies a config into plain dictionaries, lists, text and numbers; ``lines`` collects all else.

    YAML's anchors may make a small file stand for an endless one, so entries are counted.
    """

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.entries = 0

    def of(self, value: Any, path: list[str | int]) -> Any:
        self.entries += 1
        if self.entries > MOST_ENTRIES:
            raise _not_right([f"config: more than {MOST_ENTRIES} entries, anchors written out"])
        if len(path) > DEEPEST:
            raise _not_right([f"{path[0]}: nested more than {DEEPEST} deep; does an anchor hold itself?"])
        if isinstance(value, Mapping):
            return {self._name(key, path): self.of(item, [*path, key]) for key, item in value.items()}
        if isinstance(value, list):
            return [self.of(item, [*path, place]) for place, item in enumerate(value)]
        if isinstance(value, str | int | float):
            return value
        if value is None:
            self.lines.append(no_value(path))
            return None
        self.lines.append(not_plain(path, value))
        return str(value)

    def _name(self, key: Any, path: list[str | int]) -> str:
        if isinstance(key, str):
            return key
        self.lines.append(not_text(path, key))
        return str(key)


def _dumped(value: Any, raw: Any) -> Any:
    """Settings as plain values, with the keys of a section in the order of ``raw`` and the others after them."""
    if isinstance(value, Section):
        given = raw if isinstance(raw, dict) else {}
        names = [*given, *(name for name in type(value).model_fields if name not in given)]
        found = {name: getattr(value, name) for name in names}
        return {name: _dumped(item, given.get(name)) for name, item in found.items() if item is not None}
    if isinstance(value, dict):
        return {key: _dumped(item, raw.get(key) if isinstance(raw, dict) else None) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_dumped(item, None) for item in value]
    return value
