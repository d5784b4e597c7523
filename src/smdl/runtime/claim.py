"""Which runs are at work in a folder: a second one for the same files is stopped, and the lock of a dead one removed.

Snakemake's own locks say nothing of who holds them: one that a killed run left looks like that of a run at work, and
``--unlock`` takes it from either. So each run writes a record beside its locks, ``.snakemake/smdl-runs/<pid>.json``.
"""

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from snakemake.persistence.file import FilePersistence

from smdl.foundation.files import replacing

RECORDS = "smdl-runs"
# The clock of start times may be set while a process runs.
CLOCK_SECONDS = 10.0


@dataclass(frozen=True)
class Run:
    """A Snakemake at work: where, whose, since when (s since the epoch), its lock files, what it reads and makes."""

    host: str
    user: int
    pid: int
    started: float
    locks: list[str]
    inputs: list[str]
    outputs: list[str]

    def lives(self) -> bool | None:
        """Whether its process is still there; None where that cannot be told from here."""
        if self.host != socket.gethostname() or os.getuid() not in (self.user, 0):
            return None
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < CLOCK_SECONDS
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    def clashes(self, other: "Run") -> bool:
        """Whether one of the two makes a file that the other makes or reads."""
        mine, theirs = set(self.outputs), set(other.outputs)
        return not (mine.isdisjoint(theirs | set(other.inputs)) and theirs.isdisjoint(self.inputs))

    def __str__(self) -> str:
        began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.started))
        return f"Snakemake with process id {self.pid} on {self.host}, begun {began}"


def install() -> None:
    """Put the functions below before Snakemake's own, once. They are called by runs only, and not within their jobs."""
    if getattr(FilePersistence.lock, "claims", False):
        return
    plain_lock, plain_unlock = FilePersistence.lock, FilePersistence.cleanup_locks

    @contextmanager
    def lock(self: FilePersistence) -> Iterator[None]:
        own = _own(self)
        records = Path(self.path) / RECORDS
        claim(records, own)
        with plain_lock(self):
            path = records / f"{own.pid}.json"
            with replacing(path) as temporary:
                temporary.write_text(json.dumps(asdict(own) | {"locks": list(self._lockfile.values())}))
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def cleanup_locks(self: FilePersistence) -> None:
        records = Path(self.path) / RECORDS
        for path, run in runs(records).items():
            if run.lives():
                sys.exit(f"{Path.cwd()} stays locked: {run}, is at work here; to stop it: kill -TERM {run.pid}")
            path.unlink(missing_ok=True)
        plain_unlock(self)

    lock.claims = True
    FilePersistence.lock, FilePersistence.cleanup_locks = lock, cleanup_locks


def claim(records: Path, own: Run) -> None:
    """End the program where a living run clashes with ``own``; remove what dead runs left of locks and records."""
    found = runs(records)
    state = {path: run.lives() for path, run in found.items()}
    held = {name for path, run in found.items() if state[path] is not False for name in run.locks}
    for path, run in found.items():
        if state[path] is False:
            left = [Path(name) for name in run.locks if name not in held and Path(name).exists()]
            for name in left:
                name.unlink()
            if left:
                print(f"{run}, was killed: its lock is removed.", file=sys.stderr)
            path.unlink(missing_ok=True)
        elif run.clashes(own):
            if state[path]:
                sys.exit(
                    f"{Path.cwd()}: another run makes the same files: {run}; wait for its end, or stop it with"
                    f" kill -TERM {run.pid}"
                )
            print(f"Perhaps still at work here: {run}; if not, remove its lock with --unlock.", file=sys.stderr)


def runs(records: Path) -> dict[Path, Run]:
    """The runs whose records are there; a record that is torn or of another version is left out."""
    found = {}
    for path in sorted(records.glob("*.json")):
        try:
            found[path] = Run(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            continue
    return found


def _own(persistence: FilePersistence) -> Run:
    process = psutil.Process()
    inputs, outputs = persistence.all_inputfiles(), persistence.all_outputfiles()
    return Run(
        host=socket.gethostname(),
        user=os.getuid(),
        pid=process.pid,
        started=process.create_time(),
        locks=[],
        inputs=list(map(str, inputs)),
        outputs=list(map(str, outputs)),
    )
