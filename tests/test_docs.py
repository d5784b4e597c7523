"""The references in docs/ say what the models of the config and the declared tables say."""

import re

import pytest
import yaml

from conftest import ROOT
from smdl.reference_docs import PAGES
from smdl.settings.schema import described
from smdl.study.study import Study
from smdl.study.tables import by_theme, declared


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_is_in_step_with_the_code(name):
    assert (ROOT / "docs" / name).read_text() == PAGES[name](), "run: smdl docs"


def keys_of(schema: dict, path: str = "") -> set[str]:
    nested = schema.get("properties", {})
    if isinstance(schema.get("additionalProperties"), dict):
        nested = {**nested, "<name>": schema["additionalProperties"]}
    names = {key: f"{path}.{key}".removeprefix(".") for key in nested}
    return set(names.values()).union(*(keys_of(sub, names[key]) for key, sub in nested.items()))


def test_every_key_of_the_config_is_in_the_reference():
    told = set(re.findall(r"^\| `([^`]+)` \|", PAGES["configuration.md"](), flags=re.MULTILINE))
    assert {key for key in keys_of(described(Study)) if "." in key} <= told
    assert told <= keys_of(described(Study))


def test_every_table_is_in_the_reference_with_all_its_columns():
    text = PAGES["outputs.md"]()
    for table in (table for tables in by_theme().values() for table in tables):
        assert declared(table.name).columns == table.columns, "two tables share a name"
        section = text.split(f"\n### {table.name}\n")[1].split("\n### ")[0]
        assert [f"| `{column.name}` |" in section for column in table.columns] == [True] * len(table.columns)


def test_every_link_in_the_docs_leads_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "experiments").glob("*/*.md")]:
        links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
        missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
        assert not missing, f"{page}: {missing}"


def test_the_citation_is_yaml_with_what_it_must_hold():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert f'version = "{citation["version"]}"' in (ROOT / "pyproject.toml").read_text()
