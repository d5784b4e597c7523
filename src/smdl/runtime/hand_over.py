"""What stands for Python where a warm process runs (warm.py): a job's script is handed over, and run by a fork of it.

    python -P src/smdl/runtime/hand_over.py SCRIPT

A script of Snakemake begins with the import of Snakemake, which takes longer than many a job: here nothing heavy is
imported. Where no warm process answers, or the job wants a process of its own, this one becomes plain Python.
"""

import json
import os
import signal
import socket
import sys
from contextlib import suppress

from smdl.runtime.leash import ancestors, end_with
from smdl.runtime.warm import FAILED, OWN_PROCESS, SOCKET


def hand_over(arguments: list[str]) -> int | None:
    """Let the warm process run Python with ``arguments``; the exit code, or None where it does not.

    Signals that ask for the end are passed on, and the child may take its time to save.
    """
    # The parent is a shell, which would outlive Snakemake and wait for the job.
    end_with(*ancestors(2))
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(os.environ.get(SOCKET, ""))
        except OSError:
            return None

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
            connection.sendall(json.dumps([arguments, os.getcwd(), dict(os.environ)]).encode() + b"\n")
        code = connection.recv(1)
    code = code[0] if code else FAILED
    if code == OWN_PROCESS:
        return FAILED if asked else None
    return code


if __name__ == "__main__":
    arguments = sys.argv[1:]
    code = None if arguments[0].startswith("-") else hand_over(arguments)
    if code is None:
        os.environ.pop(SOCKET, None)
        os.execv(sys.executable, [sys.executable, *arguments])
    os._exit(code)
