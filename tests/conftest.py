"""What several tests share."""

import copy
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from filelock import FileLock
from hypothesis import settings

ROOT = Path(__file__).parent.parent

# Three tests run at a time: threads beyond a core each would only wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# The sampler's kernel for GPUs is interpreted: it must be said before its module is imported.
os.environ["TRITON_INTERPRET"] = "1"

# No example may fail for the machine's load, and every run tries the same examples.
settings.register_profile("smdl", deadline=None, derandomize=True)
settings.load_profile("smdl")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The round of faults first, then the other long files: short ones fill the gaps at the end."""
    order = ("slurm", "long")
    items.sort(key=lambda item: [item.get_closest_marker(name) is None for name in order])


@pytest.fixture
def mini() -> dict:
    """The mini study's config, a copy to change."""
    return copy.deepcopy(yaml.safe_load((ROOT / "config.mini.yaml").read_text()))


@pytest.fixture(scope="session")
def small_study(tmp_path_factory) -> Path:
    """The folder of a small study that was run from nothing; copy it to change it."""
    from workflow import small_config, snakemake

    def run(folder: Path) -> None:
        done = snakemake(folder, small_config(), warm=True)
        assert done.returncode == 0, done.stderr

    return once(tmp_path_factory, "small", run)


@pytest.fixture(scope="session")
def published_plan(tmp_path_factory) -> str:
    """What Snakemake prints of a dry run of config.yaml, without a network."""
    from workflow import offline

    def plan(folder: Path) -> None:
        done = offline(folder, "-n")
        assert done.returncode == 0, done.stderr
        (folder / "plan.txt").write_text(done.stdout)

    return (once(tmp_path_factory, "published", plan) / "plan.txt").read_text()


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that is made by the first of the workers that needs it, for all to read."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    done = folder.with_suffix(".done")
    with FileLock(folder.with_suffix(".lock")):
        if not done.exists():
            folder.mkdir(exist_ok=True)
            make(folder)
            done.touch()
    return folder
