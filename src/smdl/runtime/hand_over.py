"""What stands for Python where a warm process runs (warm.py): a job's script is handed over, and run by a fork of it.

    python -P src/smdl/runtime/hand_over.py SOCKET SCRIPT

A script of Snakemake begins with the import of Snakemake, which takes longer than many a job: here nothing is imported
that takes time. Where no warm process answers, or the job wants a process of its own, this one becomes plain Python.
"""

import marshal
import os
import signal
import socket
import sys
from contextlib import suppress

from smdl.runtime.leash import ancestors, end_with

FAILED, OWN_PROCESS = 1, 200


def hand_over(address: str, arguments: list[str]) -> None:
    """Let the warm process at ``address`` run Python with ``arguments``, and end with its exit code.

    Signals that ask for the end are passed on, and the child may take its time to save. Returns where nothing was run.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(address)
        except OSError:
            return
        asked: list[int] = []

        def pass_on(number: int, _: object) -> None:
            asked.append(number)
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, pass_on)
        with suppress(OSError):
            # What the script prints before it has a log goes where this process prints.
            socket.send_fds(connection, [b"."], [1, 2])
            connection.sendall(marshal.dumps([arguments, os.getcwd(), dict(os.environ)]))
        code = connection.recv(1)
    code = code[0] if code else FAILED
    if asked or code != OWN_PROCESS:
        os._exit(code)


def want_own_process() -> None:
    """In a child of the warm process: let the script be run by a Python of its own."""
    sys.exit(OWN_PROCESS)


if __name__ == "__main__":
    _, address, *arguments = sys.argv
    # What is no script is for Python itself.
    if not arguments[0].startswith("-"):
        # The parent is a shell, which would outlive Snakemake and wait for the job.
        end_with(*ancestors(2))
        hand_over(address, arguments)
    os.execv(sys.executable, [sys.executable, *arguments])
