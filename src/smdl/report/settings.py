"""The configuration of a study as rows: one per key, with its meaning."""

from collections.abc import Iterator
from typing import Any

from smdl.settings.schema import described
from smdl.study.study import Study


def settings(config: dict[str, Any]) -> list[dict[str, str]]:
    """The rows of the table ``settings`` for a validated ``config``."""
    return list(_rows(config, described(Study), ""))


def _rows(section: dict[str, Any], schema: dict[str, Any], path: str) -> Iterator[dict[str, str]]:
    for key, value in section.items():
        other = schema.get("additionalProperties")
        known = schema.get("properties", {}).get(key, other if isinstance(other, dict) else {})
        name = f"{path}.{key}".removeprefix(".")
        if isinstance(value, dict):
            yield from _rows(value, known, name)
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield {"key": name, "value": text, "meaning": known.get("description", "")}
