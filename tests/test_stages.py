"""Code that decides numbers and the version of its stage change together.

For every stage, a digest of the syntax trees (without comments and docstrings) of its scripts and of all they import
from smdl is kept in tests/stages.json; likewise for every scheme and every ruler, without what all of them share. When
the code moved: raise the version of the stage (src/smdl/runtime/stages.py) or of the scheme or ruler (in its class) if
its numbers may change, so that users' results are made again, and write the digests with

    python tests/test_stages.py
"""

import ast
import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from smdl.compression.registry import SCHEMES
from smdl.experiments.registry import NAMES as EXPERIMENTS
from smdl.rulers.registry import RULERS
from smdl.runtime.stages import STAGES
from smdl.sources.registry import SOURCES

ROOT = Path(__file__).parent.parent
LOCK = Path(__file__).parent / "stages.json"

RULE = re.compile(r"^ *rule(?: \w+)?:\n(.*?)(?=^ *(?:use )?rule\b|\Z)", re.MULTILINE | re.DOTALL)


def scripts_of(stage: str) -> list[str]:
    """The scripts of the rules that carry the version of ``stage``, as seen from the top of the repository."""
    found = set()
    for path in [*(ROOT / "rules").glob("*.smk"), *(ROOT / "experiments").glob("*/Snakefile")]:
        rules = [body for body in RULE.findall(path.read_text()) if f'stage_version("{stage}")' in body]
        scripts = (re.search(r'"([./\w]*scripts/\w+\.py)"', body) for body in rules)
        found |= {os.path.relpath(path.parent / script[1], ROOT) for script in scripts if script}
    return sorted(found)


# Packages whose modules a script imports by name.
PACKAGES = {
    "figures": ["figures"],
    **{name: [f"experiments/{name}/figures"] for name in EXPERIMENTS},
}

# What every script uses and no number depends on.
FRAME = {"runtime/job", "foundation/files", "foundation/errors", "runtime/warm", "tables", "tables/study"}


def source(module: str) -> Path:
    path = ROOT / "src" / "smdl" / module
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imported(tree: ast.Module) -> set[str]:
    """The smdl modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "smdl":
            parts = node.module.split(".")[1:]
            names = ["/".join([*parts, alias.name]) for alias in node.names]
            found |= {name for name in names if source(name).exists()} or {"/".join(parts)}
    return found - FRAME


def reached(scripts: list[str], packages: list[str], modules: Sequence[str] = ()) -> dict[str, ast.Module]:
    trees = {script: ast.parse((ROOT / script).read_text()) for script in scripts}
    waiting = [*modules, *sorted(set().union(*map(imported, trees.values())))]
    waiting += [f"{package}/{path.stem}" for package in packages for path in source(package).parent.glob("[!_]*.py")]
    while waiting:
        module = waiting.pop()
        if module not in trees:
            trees[module] = ast.parse(source(module).read_text())
            waiting += sorted(imported(trees[module]))
    return trees


def without_docstrings(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


def versions() -> dict[str, int]:
    """The versions of all stages, schemes, rulers and sources."""
    return {
        **STAGES,
        **{f"scheme {name}": scheme.version for name, scheme in SCHEMES.items()},
        **{f"ruler {name}": ruler.version for name, ruler in RULERS.items()},
        **{f"source {name}": source.making.version for name, source in SOURCES.items() if source.making},
    }


# Where the modules of a kind are, and the script that all of them share.
KINDS = {"scheme": ("compression/schemes", "compress"), "ruler": ("rulers", "ruler"), "source": ("sources", "weights")}


def digest(stage: str) -> str:
    kind, _, name = stage.partition(" ")
    if kind in KINDS:
        folder, script = KINDS[kind]
        shared = reached([f"scripts/{script}.py"], [])
        trees = reached([], [], [f"{folder}/{name}"])
        trees = {module: tree for module, tree in trees.items() if module not in shared}
    else:
        trees = reached(scripts_of(stage), PACKAGES.get(stage, []))
    plain = {name: without_docstrings(tree) for name, tree in trees.items()}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


@pytest.mark.parametrize("stage", versions())
def test_the_code_of_a_stage_changes_only_with_its_version_or_its_lock(stage):
    locked = json.loads(LOCK.read_text())[stage]
    assert {"version": versions()[stage], "digest": digest(stage)} == locked, (
        f"the code of {stage} changed: raise its version (stages.py, or its class) if its numbers may change,"
        " then run: python tests/test_stages.py"
    )


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_has_a_rule(stage):
    assert scripts_of(stage)


def test_a_change_of_code_is_seen_and_a_change_of_comment_is_not():
    plain = ast.parse("def f(x):\n    return x + 1\n")
    assert without_docstrings(ast.parse('def f(x):\n    """Why."""\n    return x + 1  # so\n')) == ast.dump(plain)
    assert without_docstrings(ast.parse("def f(x):\n    return x + 2\n")) != ast.dump(plain)


def test_the_sampler_is_part_of_the_llc_and_not_of_the_corpus():
    assert "llc/sampler" in reached(["scripts/llc_chains.py"], [])
    assert "llc/sampler" not in reached(["scripts/corpus.py"], [])


if __name__ == "__main__":
    LOCK.write_text(
        json.dumps({s: {"version": v, "digest": digest(s)} for s, v in versions().items()}, indent=2) + "\n"
    )
