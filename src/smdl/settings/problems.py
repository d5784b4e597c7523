"""What is wrong with a config, a line a problem: the key, the value, and what would be right."""

import difflib
from typing import Any

from pydantic import ValidationError

from smdl.settings.base import Config
from smdl.settings.schema import described
from smdl.settings.wording import dotted, shown

_TYPES = {
    "float_type",
    "int_type",
    "bool_type",
    "string_type",
    "model_type",
    "dict_type",
    "tuple_type",
    "model_attributes_type",
}


def problems(error: ValidationError, raw: dict[str, Any], kind: type[Config]) -> list[str]:
    """The lines for what was found wrong with ``raw``, in the order of their keys; of keys without a value, none.

    ``kind`` is what ``raw`` was checked against.
    """
    schema = described(kind)
    found = [its for its in error.errors(include_url=False) if its["input"] is not None and not _follows(its)]
    return [_line(its, raw, schema) for its in sorted(found, key=lambda its: [str(part) for part in its["loc"]])]


def _follows(error: dict[str, Any]) -> bool:
    """Whether a list is too short for pydantic only because its entries are wrong, which has lines of its own."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def _line(error: dict[str, Any], raw: dict[str, Any], schema: dict[str, Any]) -> str:
    path, rest = _place(error["loc"], raw)
    node, kind, value, context = _node(path, schema), error["type"], error["input"], error.get("ctx", {})
    key, about = dotted(path), _about(node)
    if rest and rest[-1] == "[key]":
        return f"{dotted(path[:-1])}: the name {shown(value)} {_of_text(error)}"
    if not path and kind == "text":
        # Said of the config as a whole, which nobody wants to see: the sentence names the key itself.
        return error["msg"]
    match kind:
        case "extra_forbidden":
            return _unknown(path, raw, schema)
        case "missing":
            return _missing(path, rest[-1], raw, schema)
        case "union_tag_not_found":
            missing = isinstance(value, dict)
            return _missing(path, "source", raw, schema) if missing else _mistyped(key, value, node)
        case "union_tag_invalid":
            source = node["properties"]["source"]
            return f"{key}.source: {shown(value['source'])} is not one of {', '.join(source['enum'])}{_about(source)}"
        case "literal_error":
            return f"{key}: {shown(value)} is not one of {', '.join(map(str, node['enum']))}{about}"
        case "greater_than_equal":
            return f"{key}: {shown(value)} is too small; at least {node.get('minimum', context['ge'])}{about}"
        case "greater_than":
            limit = node.get("exclusiveMinimum", context["gt"])
            return f"{key}: {shown(value)} is too small; more than {limit}{about}"
        case "less_than_equal":
            return f"{key}: {shown(value)} is too large; at most {node.get('maximum', context['le'])}{about}"
        case "less_than":
            limit = node.get("exclusiveMaximum", context["lt"])
            return f"{key}: {shown(value)} is too large; less than {limit}{about}"
        case "too_short":
            return f"{key}: has {len(value)} entries; at least {context['min_length']}{about}"
        case "too_long":
            return f"{key}: has {len(value)} entries; at most {context['max_length']}{about}"
        case "finite_number":
            return f"{key}: {shown(value)} is not a finite number{about}"
        case "distinct":
            return f"{key}: an entry stands twice in {shown(value)}"
        case "count":
            return f"{key}: {error['msg']}{about}"
        case _ if kind in _TYPES:
            return _mistyped(key, value, node)
        case _:
            return f"{key}: {shown(value)} {_of_text(error)}{about}"


def _place(loc: tuple[str | int, ...], raw: Any) -> tuple[list[str | int], list[str | int]]:
    """The part of ``loc`` that leads to something in ``raw``, and what else it says (tags of unions, a missing key)."""
    path, rest, here = [], [], raw
    # A union's tag stands between the path of a section and a key of it, which may have the tag's name.
    tag = None
    for part in loc:
        inside = part in here if isinstance(here, dict) else isinstance(here, list) and isinstance(part, int)
        if inside and part != tag and rest[-1:] != ["[key]"]:
            path.append(part)
            here = here[part]
            tag = here.get("source") if isinstance(here, dict) else None
        else:
            rest.append(part)
            tag = None
    return path, rest


def _node(path: list[str | int], schema: dict[str, Any]) -> dict[str, Any]:
    """What the schema says of the key at ``path``; nothing where it knows no such key."""
    node: Any = schema
    for part in path:
        if isinstance(part, int):
            node = node.get("items", {})
        else:
            node = node.get("properties", {}).get(part, node.get("additionalProperties", {}))
        if not isinstance(node, dict):
            return {}
    return node


def _about(node: dict[str, Any]) -> str:
    return f" ({node['description']})" if "description" in node else ""


def _unknown(path: list[str | int], raw: dict[str, Any], schema: dict[str, Any]) -> str:
    *above, name = path
    properties, key = _node(above, schema)["properties"], dotted(above)
    if name in properties:
        source = _value(above, raw)["source"]
        return f"{dotted(path)}: belongs to source {properties[name]['source']}, but the source is {source}"
    near = difflib.get_close_matches(str(name), properties, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(properties))}"
    return f"{key}: unknown key {shown(name)}; {hint}"


def _missing(path: list[str | int], name: str | int, raw: dict[str, Any], schema: dict[str, Any]) -> str:
    node = _node(path, schema)["properties"][str(name)]
    needs = f"; source {_value(path, raw)['source']} needs it" if "source" in node else _about(node)
    return f"{dotted(path)}: the key {name!r} is missing{needs}"


def _value(path: list[str | int], raw: Any) -> Any:
    for part in path:
        raw = raw[part]
    return raw


def _mistyped(key: str, value: Any, node: dict[str, Any]) -> str:
    kinds = node.get("type", "string")
    wanted = kinds if isinstance(kinds, str) else " or ".join(kinds)
    quote = "; quote it if it is a name" if wanted == "string" and isinstance(value, int | float) else ""
    return f"{key}: {shown(value)} is not of type {wanted}{quote}{_about(node)}"


def _of_text(error: dict[str, Any]) -> str:
    context = error.get("ctx", {})
    match error["type"]:
        case "string_pattern_mismatch":
            return f"does not have the form {context['pattern']}"
        case "string_too_long":
            return f"has {len(error['input'])} characters; at most {context['max_length']}"
        case "string_too_short":
            return "is empty"
        case _:
            return error["msg"]


def _of_name(error: dict[str, Any]) -> str:
    return _of_text(error)
