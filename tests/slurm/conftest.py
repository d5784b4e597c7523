"""One cluster for all tests of a session, and one round of faults, several at a time."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, Unavailable, provide
from faults import Round


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    try:
        provide(accounting=True)
    except Unavailable as why:
        pytest.skip(str(why))
    with Cluster(accounting=True) as running:
        yield running


@pytest.fixture(scope="session")
def faulted(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Round:
    folder: Path = tmp_path_factory.mktemp("faults")
    done = Round(folder, cluster)
    done.run()
    return done
