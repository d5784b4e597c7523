"""A chain job that is interrupted in any way goes on where it was, and its draws are the same bit for bit."""

import hashlib
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from smdl.foundation.errors import StudyError
from smdl.llc.state import StateStore
from smdl.runtime import hand_over
from workflow import warm_process

WORKER = Path(__file__).parent / "chain_worker.py"


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    """Start the worker as a fork of the warm process, which has torch; its process id is in the file ``pid``."""
    (folder / "pid").unlink(missing_ok=True)
    command = [sys.executable, "-P", hand_over.__file__, warm_process(), WORKER, folder, *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(list(map(str, command)), env=environment, stderr=subprocess.PIPE, text=True)


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
    with suppress(ProcessLookupError):
        os.kill(int((folder / "pid").read_text()), number)
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


def test_a_job_that_fails_after_its_last_step_has_lost_nothing(tmp_path, undisturbed):
    """As Snakemake takes the output of a job away whose time was over while it ended."""
    finish(tmp_path)
    (tmp_path / "draws.parquet").unlink()
    assert len(list((tmp_path / "state").iterdir())) == 1
    process = start(tmp_path)
    _, errors = process.communicate(timeout=300)
    assert re.findall(r"chains: +(\d+)%", errors)[0] == "100"
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "draws.parquet"), undisturbed, check_exact=True)


def test_what_was_finished_with_other_settings_stands_in_no_ones_way(tmp_path, undisturbed):
    finish(tmp_path, "other")
    pd.testing.assert_frame_equal(finish(tmp_path), undisturbed, check_exact=True)


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
        store.save({"step": 1}, {"weights": torch.zeros(20_000)})
        with pytest.raises(StudyError, match=r"cannot be saved \(No space left on device\): free some space"):
            store.save({"step": 2}, {"weights": torch.zeros(60_000)})
        assert StateStore(tmp_path / "state", "digest", 0).load().plain == {"step": 1}
        assert len(list((tmp_path / "state").iterdir())) == 1
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_states_take_turns(tmp_path):
    store = StateStore(tmp_path, "digest", 0)
    for step in range(4):
        store.save({"step": step})
    assert len(list(tmp_path.iterdir())) == 2
    assert StateStore(tmp_path, "digest", 0).load().plain == {"step": 3}
    assert np.isfinite(store.interval)


@pytest.fixture
def vectors() -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    weights = torch.randn(5001, generator=random)
    return {"weights": weights, "second_moment": weights.square().bfloat16(), "control": -weights}


def test_vectors_come_back_bit_for_bit(tmp_path, vectors, monkeypatch):
    """In parts that do not divide them; numbers beside them too."""
    monkeypatch.setattr("smdl.llc.state.PART", 1 << 12)
    values = {"step": 7, "rows": [["posterior", 0, -1, 0.1, float("inf"), 1e-300]]}
    StateStore(tmp_path, "digest", 0).save(values, vectors)
    saved = StateStore(tmp_path, "digest", 0).load()
    assert saved.plain == values
    back = {name: torch.zeros_like(vector) for name, vector in vectors.items()}
    saved.restore(back)
    assert all(torch.equal(back[name], vectors[name]) for name in vectors)


def test_every_tear_is_seen(tmp_path, vectors):
    """Wherever a file ends, and wherever a byte is another."""
    store = StateStore(tmp_path, "digest", 0)
    store.save({"step": 1}, vectors)
    file = tmp_path / "1.state"
    whole = file.read_bytes()
    for place in (0, 1, 63, 64, 200, len(whole) // 2, len(whole) - 64, len(whole) - 1):
        for torn in (whole[:place], whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]):
            file.write_bytes(torn)
            assert StateStore(tmp_path, "digest", 0).load() is None
    file.write_bytes(whole)
    assert StateStore(tmp_path, "digest", 0).load().plain == {"step": 1}


def test_a_state_of_the_former_form_counts_as_torn(tmp_path):
    """Header with a checksum, then what torch.save wrote."""
    content = io.BytesIO()
    torch.save({"step": 1, "rows": []}, content)
    body = content.getvalue()
    header = {"digest": "digest", "save": 1, "sha256": hashlib.sha256(body).hexdigest()}
    (tmp_path / "1.state").write_bytes(json.dumps(header).encode() + b"\n" + body)
    assert StateStore(tmp_path, "digest", 0).load() is None


MEMORY = """
import resource, sys, torch
from smdl.llc.state import StateStore
vectors = {"weights": torch.ones(60_000_000), "second_moment": torch.ones(60_000_000).bfloat16()}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
StateStore(sys.argv[1], "digest", 0).save({"step": 1}, vectors)
StateStore(sys.argv[1], "digest", 0).load().restore(vectors)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_saving_and_restoring_hold_no_copy(tmp_path):
    """Of 360 MB of vectors a few parts of 64 MB are held beside them."""
    done = subprocess.run([sys.executable, "-c", MEMORY, tmp_path], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 250


def test_a_save_that_takes_longer_than_the_grace_time_is_told_once(tmp_path, vectors, capsys):
    store = StateStore(tmp_path, "digest", 0, grace=0)
    store.save({"step": 0})
    assert not capsys.readouterr().err, "rows alone take no time"
    store.save({"step": 1}, vectors)
    store.save({"step": 2}, vectors)
    (said,) = capsys.readouterr().err.splitlines()
    assert "longer than the 0 s between the warning of a job and its end: raise the number in --signal=TERM@" in said
    StateStore(tmp_path, "digest", 0, grace=100).save({"step": 3}, vectors)
    StateStore(tmp_path, "digest", 0).save({"step": 4}, vectors)
    assert not capsys.readouterr().err
