"""All figures of the study, found in the modules of this package that have a function ``draw``.

The parameters of ``draw`` declare a figure: positional ones name the tables that it is drawn from, keyword-only ones
what it is drawn once per (a scheme, say). They are read without importing the module, and so without matplotlib.
"""

import ast
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from smdl.foundation.errors import StudyError


@dataclass(frozen=True)
class Declared:
    """A figure: its module's name, the tables that ``draw`` takes, and what it is drawn once per."""

    name: str
    tables: tuple[str, ...]
    per: tuple[str, ...]

    @property
    def path(self) -> str:
        """Where its pictures lie among the figures, without the ending; a wildcard stands for what it is drawn per."""
        return "/".join([self.name, *(f"{{{name}}}" for name in self.per)])


def declared(folder: Path = Path(__file__).parent) -> list[Declared]:
    """The figures that the modules of a folder declare, in alphabetical order."""
    functions = {path.stem: _draw(path) for path in sorted(folder.glob("*.py"))}
    return [
        Declared(name, *(tuple(one.arg for one in own) for own in (draw.args.args, draw.args.kwonlyargs)))
        for name, draw in functions.items()
        if draw
    ]


def _draw(path: Path) -> ast.FunctionDef | None:
    functions = (node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef))
    return next((node for node in functions if node.name == "draw"), None)


def check(
    figures: Iterable[Declared], captioned: Collection[str], tables: Collection[str], per: Collection[str]
) -> None:
    """Raise StudyError, a line per mistake, where a figure lacks its caption or asks for what there is not.

    ``captioned`` are the figures that have one, ``tables`` those that a rule makes, ``per`` what figures may vary with.
    """
    problems = []
    for figure in figures:
        if figure.name not in captioned:
            problems.append(f"figure {figure.name}: its caption is missing: docs/captions/{figure.name}.rst")
        for name in sorted(set(figure.tables) - set(tables)):
            problems.append(f"figure {figure.name}: no rule makes the table {name}; there are {', '.join(tables)}")
        for name in sorted(set(figure.per) - set(per)):
            problems.append(f"figure {figure.name}: it cannot be drawn per {name}, only per {' or '.join(per)}")
    if problems:
        raise StudyError("\n".join(problems))
