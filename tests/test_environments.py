"""The conda environments pin what the lock file pins."""

import pytest
import yaml

from conftest import ROOT


def locked() -> set[str]:
    return {line for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line}


@pytest.mark.parametrize("path", sorted((ROOT / "envs").glob("*.yaml")), ids=lambda path: path.stem)
def test_pins_are_those_of_the_lock_file(path):
    *_, packages = yaml.safe_load(path.read_text())["dependencies"]
    assert set(packages["pip"]) <= locked()
    assert "snakemake==9.27.1" in packages["pip"]
