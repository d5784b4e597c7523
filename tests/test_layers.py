"""The library's folders in their order: no import runs back up."""

import ast
from pathlib import Path

import pytest

from workflow import ROOT

LIBRARY = ROOT / "src/smdl"
# From what stands on nothing to what stands on all: a folder imports from itself and from those before it.
ORDER = (
    "foundation", "settings", "tables", "published", "hub", "corpus", "models", "llc", "compression", "rulers",
    "allocation", "sources", "analysis", "figures", "sweep", "study", "start", "runtime", "gpu", "report", "crate",
    "paper", "experiments", "reference_docs", "cli",
)  # fmt: skip


def imported(file: Path) -> set[str]:
    """The folders and modules at the library's top that a module imports from, in functions too."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            named = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        else:
            continue
        names |= {name.split(".")[1] for name in named if name.startswith("smdl.")}
    return {name for name in names if (LIBRARY / name).is_dir() or (LIBRARY / f"{name}.py").is_file()}


def test_every_folder_has_its_place():
    there = {path.stem for path in LIBRARY.iterdir() if path.is_dir() or path.suffix == ".py"}
    assert there - {"__init__", "__pycache__"} == set(ORDER)


@pytest.mark.parametrize("folder", ORDER)
def test_no_import_runs_back_up(folder):
    later = set(ORDER[ORDER.index(folder) + 1 :])
    files = [path for path in LIBRARY.rglob("*.py") if path.relative_to(LIBRARY).parts[0].removesuffix(".py") == folder]
    back = {str(file.relative_to(LIBRARY)): sorted(imported(file) & later) for file in files}
    assert not {file: names for file, names in back.items() if names}
