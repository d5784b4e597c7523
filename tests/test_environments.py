"""The conda environments pin what the lock file pins, and the recipes of images install it."""

import re
from importlib.metadata import requires

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from conftest import ROOT

# Part of every environment that can install packages.
INSTALLER = {"setuptools"}


def locked(name: str = "requirements.lock") -> set[str]:
    return {line for line in (ROOT / name).read_text().splitlines() if "==" in line}


def names(lines: set[str]) -> set[str]:
    return {canonicalize_name(line.split("==")[0]) for line in lines}


def purposes(name: str) -> dict[str, str]:
    lines = (line.partition("#") for line in (ROOT / name).read_text().splitlines() if not line.startswith("#"))
    return {canonicalize_name(package.strip()): purpose.strip() for package, _, purpose in lines}


def needed(packages: set[str]) -> set[str]:
    """The packages, what they need, what that needs, and so on, on the oldest Python that the lock file is for."""
    found, left = set(), {(package, "") for package in packages}
    while left:
        package, extra = left.pop()
        found.add((package, extra))
        where = {"extra": extra, "python_version": "3.11", "python_full_version": "3.11.0"}
        for one in map(Requirement, requires(package) or []):
            if one.marker is None or one.marker.evaluate(where):
                left |= {(canonicalize_name(one.name), wanted) for wanted in ("", *one.extras)} - found
    return {package for package, _ in found}


@pytest.mark.parametrize("kind", ["", ".test"])
def test_the_lock_files_hold_what_is_used_for_a_purpose_with_what_it_needs_and_nothing_else(kind):
    study = needed(set(purposes("requirements.in"))) - INSTALLER
    wanted = needed(set(purposes(f"requirements{kind}.in"))) - INSTALLER - (study if kind else set())
    assert names(locked(f"requirements{kind}.lock")) == wanted
    assert all(purposes(f"requirements{kind}.in").values())


@pytest.mark.parametrize("path", sorted((ROOT / "envs").glob("*.yaml")), ids=lambda path: path.stem)
def test_pins_are_those_of_the_lock_file(path):
    *_, packages = yaml.safe_load(path.read_text())["dependencies"]
    assert set(packages["pip"]) <= locked()
    assert "snakemake==9.27.1" in packages["pip"]


@pytest.mark.parametrize("recipe", ["Dockerfile", "smdl.def"])
def test_both_recipes_install_the_lock_file_by_one_script(recipe):
    text = (ROOT / "containers" / recipe).read_text()
    assert "sh install.sh" in text
    for path in ("requirements.lock", "containers/install.sh"):
        assert f" {path} " in text and (ROOT / path).is_file()
    assert "--requirement requirements.lock" in (ROOT / "containers/install.sh").read_text()


def test_the_image_is_where_the_workflow_looks_for_it():
    (place,) = re.findall(r'^ *container: f".*/(containers/.*)"$', (ROOT / "Snakefile").read_text(), re.MULTILINE)
    assert f"apptainer build {place} containers/smdl.def" in (ROOT / "containers/smdl.def").read_text()
