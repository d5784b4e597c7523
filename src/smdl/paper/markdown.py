"""The project's own pages, for a paper: Markdown as a tree of plain values, which the template walks.

A tree needs no escaping, and nothing in it can be taken for the template's own language.
"""

import re
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

READER = MarkdownIt("commonmark")


def tree(text: str) -> list[dict[str, Any]]:
    """The blocks of ``text``; a node has a ``kind``, and ``text`` or the nodes in it as ``parts``."""
    return [_node(node) for node in SyntaxTreeNode(READER.parse(text)).children]


def _node(node: SyntaxTreeNode) -> dict[str, Any]:
    if node.children:
        return {"kind": node.type, "parts": [_node(child) for child in node.children]}
    return {"kind": node.type, "text": node.content}


def section(page: str, heading: str) -> str:
    """What stands below the ``heading`` of second rank on a ``page``; KeyError where there is none."""
    return _below(page, rf"## {re.escape(heading)}", "## ", heading)


def part(page: str, heading: str) -> str:
    """What stands below a ``heading`` that is a bold line of its own; KeyError where there is none."""
    return _below(page, rf"\*\*{re.escape(heading)}\*\*", r"\*\*", heading)


def _below(page: str, line: str, end: str, heading: str) -> str:
    found = re.search(rf"^{line}\n(.*?)(?=^{end}|\Z)", page, re.MULTILINE | re.DOTALL)
    if not found:
        raise KeyError(heading)
    return found[1].strip()
