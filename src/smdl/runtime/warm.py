"""A warm start for the many short jobs of a small study on one machine.

    python -P src/smdl/runtime/warm.py COMMAND [ARGUMENT ...]

imports the heavy libraries once, runs the command, and ends with it. A job started below that command does not import
them again (several seconds of processor time each): its script is handed over (hand_over.py) to this process, which
forks a child to run it. The child imports nothing of smdl before the fork, so the code it runs is that on disk; its
numbers are those of a plain start. Without this process jobs start by themselves, as on a cluster.

A signal that asks for the end is passed on to the command, and from there to the jobs (smdl/runtime/stop.py).
Whichever of make, this process, the command and a job is killed, those below it end within seconds.
"""

import gc
import marshal
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from importlib import import_module

SOCKET, PARENT = "SMDL_WARM_SOCKET", "SMDL_WARM_PARENT"
HEAVY = (
    *("snakemake.script", "pandas", "pyarrow.parquet", "arviz_stats.base", "pydantic.main", "pydantic.fields"),
    *("torch", "transformers.models.gpt_neox.modeling_gpt_neox", "matplotlib.pyplot"),
)
FAILED = 1
# An address of a Unix socket has room for 107 bytes: a folder for temporary files may be too deep for it.
SHORT = "/tmp"
ROOM = 107
LOOK_SECONDS = 1.0


def handed_over() -> bool:
    """Whether this process is a child of the warm one, which runs a script for another."""
    return os.environ.get(SOCKET) == ""


def main(command: list[str]) -> int:
    """Serve forks while ``command`` runs; its exit code, 128 and the signal's number where a signal ended it."""
    parent, server, path = os.getppid(), None, ""
    with tempfile.TemporaryDirectory(dir=_folder(), prefix="smdl-", ignore_cleanup_errors=True) as folder:
        try:
            server, path = _fork_server(os.path.join(folder, "socket"))
        except OSError as error:
            print(f"no warm start ({error}): each job starts by itself, which takes longer", file=sys.stderr)
        try:
            return _run_command(command, parent, path)
        finally:
            if server is not None:
                os.kill(server, signal.SIGTERM)
                os.waitpid(server, 0)


def _folder() -> str | None:
    """Where the socket's folder shall lie: in the folder for temporary files, or, where that is too deep, elsewhere."""
    deep = len(os.fsencode(tempfile.gettempdir())) + len("/smdl-12345678/socket") > ROOM
    return SHORT if deep and os.access(SHORT, os.W_OK) else None


def _fork_server(path: str) -> tuple[int, str]:
    """The process id of the server, and the path of its socket."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        owner = os.getpid()
        server = os.fork()
        if server == 0:
            _serve(listener, owner)
    return server, path


def _run_command(command: list[str], parent: int, path: str) -> int:
    # Only now, so that the server knows nothing of smdl, and its children run the code that is on disk.
    from smdl.runtime.leash import end_with
    from smdl.runtime.stop import heed, told

    asked: list[int] = []
    process: subprocess.Popen | None = None

    def pass_on(number: int) -> None:
        asked.append(number)
        if process is not None:
            process.terminate()

    heed(pass_on)
    end_with(parent)
    process = subprocess.Popen(command, env=os.environ | {PARENT: str(os.getpid())} | ({SOCKET: path} if path else {}))
    if asked:
        process.terminate()
    code = process.wait()
    if code < 0:
        # It could not say so itself.
        print(told(asked[0] if asked else -code), file=sys.stderr, flush=True)
    return code if code >= 0 else 128 - code


def _serve(listener: socket.socket, owner: int) -> None:
    """Fork a child for every connection, until the process that started this one has ended."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.environ["HF_HUB_OFFLINE"] = "1"
    for name in HEAVY:
        import_module(name)
    # Every model that is loaded or saved asks for this table of patterns, which transformers compiles only then.
    import_module("transformers.conversion_mapping").get_checkpoint_conversion_mapping("")
    # What all children share stays: none looks for garbage in it, and copies its pages for that.
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while os.getppid() == owner:
        if not select.select([listener], [], [], LOOK_SECONDS)[0]:
            continue
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _run(connection)
        connection.close()
    os._exit(0)


def _run(connection: socket.socket) -> None:
    """In the child: become the job, tell its exit code, and end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, descriptor in enumerate(socket.recv_fds(connection, 1, 2)[1], start=1):
        os.dup2(descriptor, number)
        os.close(descriptor)
    with connection.makefile("rb") as stream:
        sys.argv, folder, environment = marshal.load(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    os.environ[SOCKET] = ""
    # As Python itself takes it at a start.
    sys.path[:0] = [place for place in environment.get("PYTHONPATH", "").split(os.pathsep) if place]
    import_module("torch").set_num_threads(int(environment.get("OMP_NUM_THREADS", os.cpu_count())))
    threading.Thread(target=_end_with, args=[connection], daemon=True).start()
    code = FAILED
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
        code = 0
    except SystemExit as end:
        # As Python itself does it.
        code = end.code if isinstance(end.code, int) else FAILED * (end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(bytes([code & 0xFF]))
        os._exit(code)


def _end_with(connection: socket.socket) -> None:
    """When the process that handed over is asked to end, or dies, the job is warned as it would have been itself."""
    if not connection.recv(1):
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
