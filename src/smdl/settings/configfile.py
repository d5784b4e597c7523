"""Reading a config file strictly: plain YAML or JSON in UTF-8, and every key once.

Snakemake reads it first, and loosely: of a key that stands twice the last one wins, and a model is gone without a word.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from smdl.foundation.errors import Mistakes, StudyError

# libyaml where there is one: ten times as fast.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "tag:yaml.org,2002:merge"
DEEPEST = 50


def load(path: Path | str) -> dict[str, Any]:
    """What stands in the file at ``path``, keys as they are written there, anchors and merge keys followed.

    Raises StudyError, in one line that names the file and the place, where it cannot be read as one mapping of keys to
    plain values, and where a key stands twice.
    """
    path = Path(path)
    text = _text(path)
    try:
        found = _json(path, text) if text.lstrip().startswith("{") else None
    except json.JSONDecodeError:
        found = None
    if found is None:
        found = _yaml(path, text)
    if not isinstance(found, dict):
        kind = {type(None): "is empty", list: "holds a list"}.get(type(found), "holds one value")
        raise StudyError(f"{path} {kind}; a config is keys and their values, as in config.yaml")
    return found


def load_over(paths: Sequence[Path | str]) -> dict[str, Any]:
    """What stands in several files, each laid over those before it as Snakemake does it: sections are joined.

    Raises Mistakes, one line per file, where any cannot be read as ``load`` reads it.
    """
    found, lines = {}, []
    for path in paths:
        try:
            found = _over(found, load(path))
        except StudyError as problem:
            lines.append(str(problem))
    if lines:
        raise Mistakes("the configuration cannot be read:", lines)
    return found


def _over(below: Any, above: Mapping[str, Any]) -> Any:
    """``above`` laid over ``below``: what is no section, a list for one, is replaced whole, but by no empty section."""
    if not above:
        return below
    joined = dict(below) if isinstance(below, Mapping) else {}
    for key, value in above.items():
        joined[key] = _over(joined.get(key, {}), value) if isinstance(value, Mapping) else value
    return joined


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise StudyError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise StudyError(f"{path}, line {line}: byte {error.object[error.start]:#x} is not UTF-8") from None


def _json(path: Path, text: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise StudyError(f"{path}: the key {twice!r} stands twice in one section")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=once)
    except RecursionError:
        raise _too_deep(path) from None


def _yaml(path: Path, text: str) -> Any:
    loader = None
    try:
        _check_depth(path, text)
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check_keys(path, loader, node, (), set())
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        raise StudyError(f"{path}{_line(error.problem_mark)}: {_problem(error)}") from None
    except yaml.reader.ReaderError as error:
        at = f"character {error.character:#x}" if isinstance(error.character, int) else f"byte {error.character!r}"
        raise StudyError(f"{path}: {at} at position {error.position} is none that YAML can hold") from None
    except (ValueError, TypeError) as error:
        # A date that is none, or the like: text to people, something else to YAML.
        raise StudyError(f"{path}: a value cannot be read ({error}); quote it if it is text") from None
    finally:
        if loader is not None:
            loader.dispose()


def _check_depth(path: Path, text: str) -> None:
    """Brackets upon brackets would take the parser's whole stack."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise _too_deep(path)


def _too_deep(path: Path) -> StudyError:
    return StudyError(f"{path} is nested more than {DEEPEST} deep, and no config is")


def _check_keys(path: Path, loader: Any, node: yaml.Node, above: tuple[str, ...], seen: set[int]) -> None:
    """Every key of a mapping stands once; merged ones (<<) may stand again, which is what merging is for."""
    if id(node) in seen or isinstance(node, yaml.ScalarNode):
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_keys(path, loader, item, above, seen)
        return
    first: dict[Any, yaml.Node] = {}
    for key, value in node.value:
        if key.tag != _MERGE and isinstance(key, yaml.ScalarNode):
            name = loader.construct_object(key)
            if name in first:
                where = f" in {'.'.join(above)}" if above else ""
                raise StudyError(
                    f"{path}{_line(key.start_mark)}: the key {key.value!r} stands twice{where};"
                    f" the first is on line {first[name].start_mark.line + 1}"
                )
            first[name] = key
        _check_keys(path, loader, value, (*above, str(key.value)), seen)


def _line(mark: Any) -> str:
    return f", line {mark.line + 1}" if mark is not None else ""


def _problem(error: yaml.MarkedYAMLError) -> str:
    problem = " ".join(str(error.problem).split())
    if problem.startswith("but "):
        return f"{error.context}, {problem}"
    if "tab" in problem or "cannot start any token" in problem:
        return f"{problem}; indent with spaces, not with tabs, and quote what is text"
    if "tag" in problem:
        return f"{problem}; only plain text, numbers, lists and mappings"
    return problem
