"""Running the real Snakemake in tests."""

import atexit
import copy
import marshal
import os
import re
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from conftest import ROOT
from smdl.runtime.warm import PARENT, SOCKET

SNAKEMAKE = str(Path(sys.executable).parent / "snakemake")
WARM = [sys.executable, "-P", str(ROOT / "src/smdl/runtime/warm.py")]
SECONDS = 900

SMALL = {
    "study": "small",
    "seed": 1,
    "corpus": {
        "source": "package",
        "name": "kjv",
        "context": 16,
        "blocks": {"sampling": 64, "evaluation": 16, "calibration": 16},
    },
    "models": {
        "tiny": {
            "source": "train",
            "architecture": {"layers": 1, "hidden": 16, "heads": 2},
            "training": {"steps": 30, "batch_size": 8, "lr": 0.01},
            "steps": [10, 20, 30],
            "window": [10, 30],
        }
    },
    "rulers": {
        "bits_back": {"steps": 5, "samples": 2, "batch_size": 4},
        "curvature": {"blocks": 2, "probes": 2, "lanczos": 2},
    },
    "llc": {"batch_size": 4, "chains": 2, "chains_per_job": 2, "burn_in": 2, "draws": 8},
    "compression": {
        "epsilons": [0.02, 0.1],
        "headline": {"scheme": "quantize", "variant": "minimised", "epsilon": 0.02},
        "schemes": {
            "quantize": {
                "mode": "curve",
                "levels": [2, 3, 5, 9, 17, 33],
                "variants": {"minimised": {}, "maximum": {"range": "maximum"}},
            },
            "prune": {"levels": {"first": 0, "last": 1, "step": 0.1}, "variants": {"wanda": {"score": "wanda"}}},
        },
    },
}


def small_config() -> dict:
    """A study of one tiny model that runs in seconds, to change."""
    return copy.deepcopy(SMALL)


def snakemake(
    folder: Path, config: dict | Path, *arguments: str, warm: bool = False, snakefile: str = "Snakefile"
) -> subprocess.CompletedProcess:
    """Run the workflow in ``folder`` with ``config``; its output is text in ``stdout`` (graphs) and ``stderr``.

    ``warm``: as ``forked``. ``snakefile`` is that of the study, or of an experiment, as seen from the top of the
    repository.
    """
    if isinstance(config, dict):
        path = folder / "config.test.yaml"
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        config = path
    command = [
        *("--snakefile", str(ROOT / snakefile), "--directory", str(folder)),
        *("--profile", str(ROOT / "profiles/local"), "--configfile", str(config), *arguments),
    ]
    return forked(command, warm=warm)


def forked(
    arguments: list[str], folder: Path | None = None, warm: bool = False, **environment: str
) -> subprocess.CompletedProcess:
    """Run Snakemake with ``arguments`` in ``folder``: a fork of a process that has imported it.

    All tests of a worker share that process; ``warm`` jobs are forks of it too. ``environment`` comes beside our own.
    """
    environment = {**os.environ, "CI": "1", **({PARENT: str(os.getpid())} if warm else {}), **environment}
    with TemporaryDirectory() as told, socket.socket(socket.AF_UNIX) as connection:
        stdout, stderr = (Path(told, name) for name in ("stdout", "stderr"))
        start = [str(ROOT / "tests/start_snakemake.py"), warm_process() if warm else ""]
        connection.settimeout(SECONDS)
        connection.connect(warm_process())
        asked = [[*start, *arguments], str(folder or Path.cwd()), environment]
        with stdout.open("wb") as out, stderr.open("wb") as err:
            socket.send_fds(connection, [b"."], [out.fileno(), err.fileno()])
        connection.sendall(marshal.dumps(asked))
        # None where it was killed.
        (code,) = connection.recv(1) or (-1,)
        return subprocess.CompletedProcess([SNAKEMAKE, *arguments], code, stdout.read_text(), stderr.read_text())


@cache
def warm_process() -> str:
    """The address of a warm process, started once; it ends when its input is closed, which our own end does."""
    command = [sys.executable, "-P", str(ROOT / "tests/warm_process.py"), "sh", "-c", f"echo ${SOCKET}; exec cat"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(process.communicate)
    address = process.stdout.readline().strip()
    assert address, "no warm process"
    return address


def offline(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Ask Snakemake about the study of config.yaml; where the kernel lets us, without a network."""
    unshare = ["unshare", "--net", "--map-root-user"]
    command = [
        *unshare * (subprocess.run([*unshare, "true"], capture_output=True).returncode == 0),
        *(SNAKEMAKE, "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)),
        *("--configfile", str(ROOT / "config.yaml"), "--profile", str(ROOT / "profiles/local"), *arguments),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def jobs(output: str) -> dict[str, int]:
    """The counts a rule of a dry run; empty where nothing is to be done."""
    found = re.search(r"Job stats:\njob +count\n[- ]+\n(.*?)\n\n", output, re.DOTALL)
    rows = [line.split() for line in found[1].splitlines()] if found else []
    return {name: int(count) for name, count in rows if name != "total"}
