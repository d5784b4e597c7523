"""Commands that tests start, and stop or kill with all that is below them."""

import os
import signal
import subprocess
import time
import uuid
from contextlib import suppress
from pathlib import Path

MARK = "SMDL_TEST_RUN"


def outside_make() -> dict[str, str]:
    """Our environment without what ``make test`` says to the makes below it, which would change what they print."""
    return {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}


class Run:
    """A command, in a session of its own, and all processes below it, which bear a mark in their environment."""

    def __init__(self, folder: Path, command: list[str]):
        self.folder = folder
        self.mark = uuid.uuid4().hex
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={**outside_make(), MARK: self.mark, "CI": "1"},
                stdout=log,
                stderr=log,
                start_new_session=True,
                # Tests that run in the background of a shell ignore SIGINT, and that would be inherited.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def alive(self) -> dict[int, str]:
        """Processes that bear the mark and are no zombies: id and command line."""
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                ours = f"{MARK}={self.mark}\0".encode() in (process / "environ").read_bytes()
                if ours and ") Z " not in (process / "stat").read_text():
                    found[int(process.name)] = (process / "cmdline").read_text().replace("\0", " ")
        return found

    def id_of(self, who: str) -> int:
        """The first process whose command line begins so, in the order of their start: numbers begin anew."""
        return min((pid for pid, command in self.alive().items() if command.startswith(who)), key=started)

    def ends(self, seconds: float) -> None:
        """Fails where a process is left after so many seconds."""
        deadline = time.monotonic() + seconds
        while left := self.alive():
            self.process.poll()
            assert time.monotonic() < deadline, (left, self.log())
            time.sleep(0.1)
        self.process.wait()

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def until(self, holds) -> None:
        deadline = time.monotonic() + 300
        while not holds():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log()
            time.sleep(0.1)

    def kill(self) -> None:
        """Kill the whole tree at once, and wait until all of it is gone."""
        for pid in self.alive():
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self.ends(60)


def started(process: int) -> int:
    """When a process was started, in the kernel's ticks."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19])
