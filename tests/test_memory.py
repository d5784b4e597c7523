"""What jobs declare of their memory is what they take: measured in processes of their own, with a model of 120 MB."""

import subprocess
import sys

import pytest

from conftest import ROOT

# Those that hold vectors beside the model in different ways and are quick: benchmarks/job_memory.py has all.
JOBS = ("bits_back", "prune_heads, retrained", "sequence, factorize")


@pytest.fixture(scope="module")
def measured() -> dict[str, float]:
    """Declared over measured memory of every job."""
    command = [sys.executable, str(ROOT / "benchmarks/job_memory.py"), *JOBS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [line.rsplit(maxsplit=3) for line in done.stdout.splitlines()[1:]]
    return {job: float(ratio) for job, _, _, ratio in rows}


@pytest.mark.parametrize("job", JOBS)
def test_a_job_takes_what_it_declares(measured, job):
    # The peak is sampled: of a short one a busy machine may miss a part.
    assert 0.8 < measured[job] < 1.4
