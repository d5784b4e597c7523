"""The JSON Schema of the config, from the models: as editors take it, and in one piece for docs and messages."""

from functools import cache
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from smdl.settings.base import Config


class _Plain(GenerateJsonSchema):
    """No titles, which would only repeat the keys, and no null: what is not wanted is left out."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def nullable_schema(self, schema: Any) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: Any) -> dict[str, Any]:
        found = super().default_schema(schema)
        return {key: value for key, value in found.items() if (key, value) != ("default", None)}


@cache
def json_schema(kind: type[Config]) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a config."""
    schema = _tidied(kind.model_json_schema(schema_generator=_Plain))
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}


def _tidied(value: Any) -> Any:
    """Descriptions in one line each, and no titles of classes."""
    if isinstance(value, list):
        return [_tidied(item) for item in value]
    if not isinstance(value, dict):
        return value
    tidied = {key: _tidied(item) for key, item in value.items() if not (key == "title" and isinstance(item, str))}
    if isinstance(description := tidied.get("description"), str):
        tidied["description"] = " ".join(description.split())
    return tidied


@cache
def described(kind: type[Config]) -> dict[str, Any]:
    """The schema without references, one node per key.

    Where a section has a class per source, its node holds the keys of all of them; those of one source alone carry it
    under ``source``. Names of the user's choice are ``additionalProperties``.
    """
    schema = json_schema(kind)
    return _whole(schema, schema["$defs"])


def _whole(node: dict[str, Any], sections: dict[str, Any]) -> dict[str, Any]:
    node = {key: value for key, value in node.items() if key != "$defs"}
    if "$ref" in node:
        target = sections[node.pop("$ref").rsplit("/", 1)[1]]
        return {**_whole(target, sections), **node}
    if "oneOf" in node:
        discriminator = node.pop("discriminator", None)
        kinds = [_whole(kind, sections) for kind in node.pop("oneOf")]
        return {**(_by_source(kinds) if discriminator else _either(kinds)), **node}
    if "patternProperties" in node:
        (node["additionalProperties"],) = node.pop("patternProperties").values()
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            node[key] = _whole(node[key], sections)
    if "properties" in node:
        node["properties"] = {key: _whole(sub, sections) for key, sub in node["properties"].items()}
    return node


def _by_source(kinds: list[dict[str, Any]]) -> dict[str, Any]:
    """One section of the keys of all sources, those that only one has after ``source`` itself."""
    tags = [kind["properties"]["source"]["const"] for kind in kinds]
    common = [key for key in kinds[0]["properties"] if all(key in kind["properties"] for kind in kinds)]
    source = {**kinds[0]["properties"]["source"], "enum": tags}
    del source["const"]
    own = {
        key: {**sub, "source": tag}
        for tag, kind in zip(tags, kinds, strict=True)
        for key, sub in kind["properties"].items()
        if key not in common
    }
    rest = {key: kinds[0]["properties"][key] for key in common if key != "source"}
    needed = [key for key in ["source", *rest] if all(key in kind["required"] for kind in kinds)]
    return {**kinds[0], "properties": {"source": source, **own, **rest}, "required": needed}


def _either(kinds: list[dict[str, Any]]) -> dict[str, Any]:
    """A list or a section."""
    merged = {key: value for kind in kinds for key, value in kind.items() if key != "description"}
    return {**merged, "type": [kind["type"] for kind in kinds]}
