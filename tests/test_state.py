"""A chain job that is interrupted in any way goes on where it was, and its draws are the same bit for bit."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from smdl.foundation.errors import StudyError
from smdl.llc.state import StateStore

WORKER = Path(__file__).parent / "chain_worker.py"


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(WORKER), str(folder), *arguments], env=environment, stderr=subprocess.PIPE, text=True
    )


def finish(folder: Path, *arguments: str) -> pd.DataFrame:
    process = start(folder, *arguments)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return pd.read_parquet(folder / "draws.parquet")


def interrupt(folder: Path, number: signal.Signals, after: int) -> str:
    """Start the worker, send it a signal once it has saved ``after`` more times, and return what it said."""
    process = start(folder)
    seen, last = 0, None
    while seen < after and process.poll() is None:
        now = max((p.stat().st_mtime_ns for p in folder.glob("state/[01].state")), default=None)
        seen, last = (seen + 1, now) if now != last else (seen, last)
        time.sleep(0.002)
    process.send_signal(number)
    return process.communicate(timeout=300)[1]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> pd.DataFrame:
    return finish(tmp_path_factory.mktemp("undisturbed"))


def test_sigkill_at_five_random_moments(tmp_path, undisturbed):
    moments = random.Random(0)
    for _ in range(5):
        interrupt(tmp_path, signal.SIGKILL, moments.randint(1, 40))
    assert list(tmp_path.glob("state/[01].state"))
    pd.testing.assert_frame_equal(finish(tmp_path), undisturbed, check_exact=True)
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_warning_signal_saves_and_ends_the_job(tmp_path, undisturbed, number):
    said = interrupt(tmp_path, number, 5)
    assert f"stopped by {number.name}; the state is saved, run again to go on" in said
    pd.testing.assert_frame_equal(finish(tmp_path), undisturbed, check_exact=True)


def test_of_a_torn_state_the_one_before_is_used(tmp_path, undisturbed):
    interrupt(tmp_path, signal.SIGKILL, 20)
    newest = max(tmp_path.glob("state/[01].state"), key=lambda path: path.stat().st_mtime_ns)
    newest.write_bytes(newest.read_bytes()[:-100])
    pd.testing.assert_frame_equal(finish(tmp_path), undisturbed, check_exact=True)


def test_a_foreign_state_is_refused_with_one_line(tmp_path):
    interrupt(tmp_path, signal.SIGKILL, 3)
    process = start(tmp_path, "other")
    said = process.communicate(timeout=300)[1]
    assert process.returncode != 0
    assert "the saved state belongs to other settings, weights or token blocks" in said.splitlines()[-1]


def test_a_full_disk_keeps_what_was_saved(tmp_path):
    """On a file system of its own, where the process may mount one."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(tmp_path)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no right to mount a small file system: {mounted.stderr.strip()}")
    try:
        store = StateStore(tmp_path / "state", "digest", 0)
        store.save({"step": 1, "weights": torch.zeros(20_000)})
        with pytest.raises(StudyError, match=r"cannot be saved \(No space left on device\): free some space"):
            store.save({"step": 2, "weights": torch.zeros(60_000)})
        assert StateStore(tmp_path / "state", "digest", 0).load()["step"] == 1
        assert len(list((tmp_path / "state").iterdir())) == 1
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_states_take_turns(tmp_path):
    store = StateStore(tmp_path, "digest", 0)
    for step in range(4):
        store.save({"step": step})
    assert len(list(tmp_path.iterdir())) == 2
    assert StateStore(tmp_path, "digest", 0).load() == {"step": 3}
    assert np.isfinite(store.interval)
