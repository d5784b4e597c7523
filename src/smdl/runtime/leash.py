"""A process that ends with those that started it, however they ended."""

import os
import signal
import threading
import time
from pathlib import Path

LOOK_SECONDS = 1.0


def end_with(*line: int) -> None:
    """From now on, send this process SIGTERM once the processes of ``line`` are no longer its parent, its and so on.

    Or once the first of them is a make that was sent SIGINT: it waits for its recipe then, and passes nothing on.
    """
    threading.Thread(target=_watch, args=[list(line)], daemon=True).start()


def ancestors(generations: int) -> list[int]:
    """Process ids of the parent, of its parent and so on, as far as they live."""
    line = [os.getppid()]
    while len(line) < generations and (above := _parent(line[-1])) is not None:
        line.append(above)
    return line


def _watch(line: list[int]) -> None:
    waits = _waits(line[0])
    while ancestors(len(line)) == line and _waits(line[0]) == waits:
        time.sleep(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _waits(process: int) -> bool:
    """Whether this is a make that no longer catches SIGINT, since it got one; False where there is no telling."""
    of_process = Path(f"/proc/{process}")
    try:
        if (of_process / "comm").read_text() not in ("make\n", "gmake\n"):
            return False
        status = (of_process / "status").read_text()
    except OSError:
        return False
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return not caught & 1 << signal.SIGINT - 1


def _parent(process: int) -> int | None:
    """From the kernel directly, since jobs are many and psutil takes 20 ms to import."""
    if not Path("/proc/self/stat").exists():
        return _asked(process)
    try:
        return int(Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    except OSError:
        return None


def _asked(process: int) -> int | None:
    import psutil

    try:
        return psutil.Process(process).ppid()
    except psutil.Error:
        return None
