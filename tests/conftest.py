"""What several tests share."""

import copy
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import settings

ROOT = Path(__file__).parent.parent

# Three tests run at a time: threads beyond a core each would only wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No example may fail for the machine's load, and every run tries the same examples.
settings.register_profile("smdl", deadline=None, derandomize=True)
settings.load_profile("smdl")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The round of faults first: it takes longest, and the other tests run beside it."""
    items.sort(key=lambda item: item.get_closest_marker("slurm") is None)


@pytest.fixture
def mini() -> dict:
    """The mini study's config, a copy to change."""
    return copy.deepcopy(yaml.safe_load((ROOT / "config.mini.yaml").read_text()))


@pytest.fixture(scope="session")
def small_study(tmp_path_factory) -> Path:
    """The folder of a small study that was run from nothing; copy it to change it."""
    from workflow import small_config, snakemake

    folder = tmp_path_factory.mktemp("small")
    run = snakemake(folder, small_config(), warm=True)
    assert run.returncode == 0, run.stderr
    return folder
