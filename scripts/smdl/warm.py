"""A warm start for the many short jobs of a small study on one machine.

    python -P scripts/smdl/warm.py COMMAND [ARGUMENT ...]

imports the heavy libraries once, runs the command, and ends with it. A job started below that command does not import
them again (several seconds of processor time each): it hands its script to this process, which forks a child to run it.
The child imports nothing of smdl before the fork, so the code it runs is that on disk; its numbers are those of a
plain start. Without this process jobs start by themselves, as on a cluster.
"""

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from importlib import import_module

SOCKET = "SMDL_WARM_SOCKET"
HEAVY = (
    *("snakemake.script", "pandas", "pyarrow.parquet", "arviz_stats.base"),
    *("torch", "transformers.models.gpt_neox.modeling_gpt_neox"),
)
FAILED = 1


def hand_over() -> None:
    """Let the warm process run this very script, and end with its exit code; return where there is none."""
    path = os.environ.get(SOCKET)
    if path is None:
        return
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(path)
        except OSError:
            return
        connection.sendall(json.dumps([sys.argv, os.getcwd(), dict(os.environ)]).encode() + b"\n")
        code = connection.recv(1)
    os._exit(code[0] if code else FAILED)


def main(command: list[str]) -> int:
    """Serve forks while ``command`` runs; its exit code."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = os.path.join(folder, "socket")
        listener.bind(path)
        listener.listen(64)
        server = os.fork()
        if server == 0:
            _serve(listener)
        listener.close()
        try:
            return _wait(subprocess.Popen(command, env={**os.environ, SOCKET: path}))
        finally:
            os.kill(server, signal.SIGTERM)
            os.waitpid(server, 0)


def _wait(process: subprocess.Popen) -> int:
    """The exit code of a process that may take its time over an interrupt, which the terminal sends to it as well."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def _serve(listener: socket.socket) -> None:
    """Fork a child for every connection, until the end of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["HF_HUB_OFFLINE"] = "1"
    for name in HEAVY:
        import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _run(connection)
        connection.close()


def _run(connection: socket.socket) -> None:
    """In the child: become the job, tell its exit code, and end."""
    for number in (signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    with connection.makefile("rb") as stream:
        sys.argv, folder, environment = json.loads(stream.readline())
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    del os.environ[SOCKET]
    import_module("torch").set_num_threads(int(environment.get("OMP_NUM_THREADS", os.cpu_count())))
    threading.Thread(target=_end_with, args=[connection], daemon=True).start()
    code = FAILED
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else FAILED
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(bytes([code & 0xFF]))
        os._exit(code)


def _end_with(connection: socket.socket) -> None:
    """When the process that handed over dies, the job is warned as it would have been itself."""
    if not connection.recv(1):
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
