"""References: of the configuration from its models, for people and for editors; of the outputs from their tables."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from smdl.experiments.registry import NAMES, config_of, tables_of
from smdl.settings.base import Config
from smdl.settings.schema import described, json_schema
from smdl.study.study import Study
from smdl.study.tables import by_theme
from smdl.tables import Table

GENERATED = "<!-- Written by: smdl docs -->"

BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "minItems": "{} or more entries",
    "maxItems": "{} entries at most",
    "minProperties": "{} or more entries",
    "pattern": "form `{}`",
}


def configuration() -> str:
    """The reference of the configuration: a row per key, in the order of the models."""
    parts = [
        GENERATED,
        "# Configuration",
        "One YAML file describes a study. An unknown key is an error; what is left out has the default given here."
        " `<name>` stands for a name of your choice, `(train)`, `(hub)`, `(local)` and `(package)` for the source to"
        " which a key belongs. The file as it was understood is written to `results/<study>/config.yaml`.",
    ]
    return "\n\n".join([*parts, *_settings(Study)]) + "\n"


def _settings(kind: type[Config]) -> list[str]:
    """The keys of a config: a table of those that stand alone, then a heading and a table per section."""
    whole = described(kind)
    top = list(whole["properties"].items())
    plain = [(key, schema) for key, schema in top if not _nested(schema)]
    needed = whole.get("required", [])
    parts = [_rows([row for key, schema in plain for row in _keys(key, schema, key in needed)])]
    for key, schema in top:
        if _nested(schema):
            parts += [f"## {key}", schema.get("description", ""), _rows(list(_children(key, schema)))]
    return [part for part in parts if part]


def _nested(schema: dict[str, Any]) -> bool:
    return "properties" in schema or isinstance(schema.get("additionalProperties"), dict)


def _keys(path: str, schema: dict[str, Any], required: bool) -> Iterator[tuple[str, ...]]:
    default = "needed" if required else _code(schema["default"]) if "default" in schema and not _nested(schema) else ""
    # Descriptions are plain text: Markdown would take <study> for markup and leave it out.
    yield f"`{path}`", _kind(schema), default, schema.get("description", "").replace("<", "&lt;")
    yield from _children(path, schema)


def _children(path: str, schema: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for key, sub in schema.get("properties", {}).items():
        yield from _keys(f"{path}.{key}", sub, key in schema.get("required", []))
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _keys(f"{path}.<name>", schema["additionalProperties"], False)


def _kind(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(_code(value) for value in schema["enum"])
    kinds = schema.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    kind = " or ".join({"object": "section", "array": "list"}.get(kind, kind) for kind in kinds)
    if "items" in schema:
        kind += f" of {_kind(schema['items'])}"
    return ", ".join([kind, *(text.format(schema[name]) for name, text in BOUNDS.items() if name in schema)])


def _code(value: Any) -> str:
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def outputs() -> str:
    """The reference of the outputs: every declared table with its columns."""
    parts = [
        GENERATED,
        "# Outputs",
        "Every table is a Parquet file with the schema below; those in `results/<study>/tables/` have a CSV twin,"
        " in which a text that a spreadsheet would run as a formula (one that begins with = + - @, a tab or a line"
        " break, and is no number) has an apostrophe before it. A Parquet file carries in its metadata, under the key"
        " `smdl`, how it came about: settings, seed, stage version, package versions, device, wall time, peak memory"
        " and commit (`smdl.tables.read_provenance`).",
    ]
    for theme, tables in by_theme().items():
        parts.append(f"## Tables of smdl.{theme}")
        parts += [_table(table) for table in tables]
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> str:
    head = "| column | type | unit | meaning |\n|---|---|---|---|\n"
    rows = [f"| `{c.name}` | {c.type} | {c.unit} | {_cell(c.description)} |" for c in table.columns]
    key = ", ".join(f"`{name}`" for name in table.key)
    return f"### {table.name}\n\n{table.description} One row per {key}.\n\n{head}" + "\n".join(rows)


def _rows(rows: list[tuple[str, ...]]) -> str:
    head = "| key | values | default | meaning |\n|---|---|---|---|\n"
    return head + "\n".join("| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows) if rows else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def experiment(name: str) -> str:
    """The reference of an experiment: the keys of its config, and its tables."""
    kind = config_of(name)
    parts = [GENERATED, f"# Reference of experiments/{name}", described(kind)["description"]]
    parts += ["An unknown key is an error; what `config.yaml` leaves out has the default given here."]
    parts += [*_settings(kind), "## Tables", *map(_table, tables_of(name))]
    return "\n\n".join(parts) + "\n"


def schema(kind: type[Config] = Study) -> str:
    """The JSON Schema of a configuration, for editors that check and complete what is typed."""
    return json.dumps(json_schema(kind), indent=2) + "\n"


# Every generated page, by its path as seen from docs/.
PAGES: dict[str, Callable[[], str]] = {
    "reference/configuration.md": configuration,
    "reference/config.schema.json": schema,
    "reference/outputs.md": outputs,
    **{f"../experiments/{name}/reference.md": partial(experiment, name) for name in NAMES},
    **{f"../experiments/{name}/config.schema.json": partial(schema, config_of(name)) for name in NAMES},
}
