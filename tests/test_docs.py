"""The references in docs/ say what the models of the config and the declared tables say."""

import re
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt

from conftest import ROOT
from smdl.reference_docs import GENERATED, PAGES
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
    told = set(re.findall(r"^\| `([^`]+)` \|", PAGES["reference/configuration.md"](), flags=re.MULTILINE))
    assert {key for key in keys_of(described(Study)) if "." in key} <= told
    assert told <= keys_of(described(Study))


def test_every_table_is_in_the_reference_with_all_its_columns():
    text = PAGES["reference/outputs.md"]()
    for table in (table for tables in by_theme().values() for table in tables):
        assert declared(table.name).columns == table.columns, "two tables share a name"
        section = text.split(f"\n### {table.name}\n")[1].split("\n### ")[0]
        assert [f"| `{column.name}` |" in section for column in table.columns] == [True] * len(table.columns)


PAGES_WRITTEN = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "experiments").glob("*/*.md")),
]


def links(page: Path) -> list[tuple[str, str]]:
    """Path and anchor of every link of a page that stays in the repository."""
    found = re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", page.read_text())
    return [(path, anchor) for path, anchor in found if "://" not in path]


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings have where Markdown is shown."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES_WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    for path, anchor in links(page):
        target = page.parent / path if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


def test_nothing_in_angle_brackets_is_taken_for_markup_and_lost():
    for page in PAGES_WRITTEN:
        blocks = MarkdownIt("commonmark").enable("table").parse(page.read_text())
        tokens = [token for block in blocks for token in [block, *(block.children or [])]]
        lost = [token.content.strip() for token in tokens if token.type.startswith("html")]
        assert set(lost) <= {GENERATED}, page


def test_every_page_is_reached_from_the_map():
    reached, waiting = set(), [ROOT / "docs/README.md"]
    while waiting:
        page = waiting.pop().resolve()
        if page not in reached and page.suffix == ".md":
            reached.add(page)
            waiting += [page.parent / path for path, _ in links(page) if path]
    assert set(PAGES_WRITTEN) <= reached


def test_the_citation_is_yaml_with_what_it_must_hold():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert f'version = "{citation["version"]}"' in (ROOT / "pyproject.toml").read_text()
