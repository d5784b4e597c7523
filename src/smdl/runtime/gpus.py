"""The GPUs of one machine: how many jobs may have one at a time, and which one a job takes.

On a cluster the scheduler gives a job its GPU, and there is nothing to do.
"""

import fcntl
import os
import subprocess
import tempfile
import time
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"
LIST = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
LOOK_SECONDS = 1.0
# A job holds the lock of its GPU for as long as it lives, however it ends.
_held: list[int] = []


def visible() -> list[str]:
    """The GPUs that CUDA_VISIBLE_DEVICES names, or all of the machine's; none where there is none."""
    named = os.environ.get(VISIBLE)
    if named is None:
        try:
            named = ",".join(subprocess.run(LIST, capture_output=True, text=True, check=True).stdout.split("\n"))
        except (OSError, subprocess.CalledProcessError):
            return []
    return [name for part in named.split(",") if (name := part.strip())]


def limits() -> list[str]:
    """Snakemake's limit on jobs with a GPU: one a GPU; none without GPUs, where the cores are the limit."""
    count = len(visible())
    return [f"gpu={count}"] if count else []


def take(folder: Path | None = None) -> str | None:
    """Take a GPU that no other job of this user has, if there are several, and show this process no other.

    Waits for one where all are taken. ``folder`` is where the locks lie; a file of its name for each GPU.
    """
    names = visible()
    if len(names) < 2:
        return None
    folder = folder or Path(tempfile.gettempdir()) / f"smdl-gpus-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    while True:
        for name in names:
            lock = os.open(folder / name.replace("/", "_"), os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            _held.append(lock)
            os.environ[VISIBLE] = name
            return name
        time.sleep(LOOK_SECONDS)
