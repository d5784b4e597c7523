"""The move compiled from psgld.c for a CPU, where a C compiler is there."""

import ctypes
import functools
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from smdl.foundation.files import replacing
from smdl.llc.noise import GROUP
from smdl.llc.update import Move, Vectors

SOURCE = Path(__file__).with_name("psgld.c")
FLAGS = ("-O3", "-march=native", "-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")


# A chunk of the update fits the second-level cache, so that its dozen operations pass over main memory once.
CHUNK = 1 << 16


class _Functions(NamedTuple):
    """The two functions of psgld.c."""

    update: Any
    noise: Any


class Compiled:
    """The compiled move, its chunks spread over threads; vectors that are not float32 are converted chunk by chunk."""

    def __init__(self, functions: _Functions):
        self._functions = functions
        self._threads = ThreadPoolExecutor(torch.get_num_threads())

    def __call__(self, vectors: Vectors, move: Move, place: int) -> Tensor:
        chains, length = vectors.weights.shape
        exact = all(vector is None or vector.dtype == torch.float32 for vector in vectors)

        def run(start: int) -> np.ndarray:
            return (self._exact if exact else self._mixed)(vectors.part(start, chunk), move, place + start)

        chunk = max(CHUNK // chains // GROUP * GROUP, GROUP)
        if length <= chunk:
            return torch.from_numpy(run(0))
        if exact:
            chunk = max(chunk, -(-length // torch.get_num_threads() // GROUP) * GROUP)
        return torch.from_numpy(sum(self._threads.map(run, range(0, length, chunk))))

    def normals(self, seed: int, chain: int, step: int, place: int, count: int) -> Tensor:
        out = torch.empty(count, dtype=torch.float32)
        self._functions.noise(out.data_ptr(), count, place, step, chain, seed)
        return out

    def _mixed(self, vectors: Vectors, move: Move, place: int) -> np.ndarray:
        exact = vectors.exact()
        squared = self._exact(exact, move, place)
        vectors.weights.copy_(exact.weights)
        vectors.second_moment.copy_(exact.second_moment)
        if vectors.control is not None:
            vectors.control.copy_(exact.control)
        return squared

    def _exact(self, vectors: Vectors, move: Move, place: int) -> np.ndarray:
        weights = vectors.weights
        rows, length = weights.shape
        squared = np.zeros(rows)
        chains = np.array(move.chains, dtype=np.int64)
        settings = np.array([move.lr, move.n_beta, move.gamma, move.alpha, move.eps_rms], dtype=np.float32)
        self._functions.update(
            *(None if vector is None else vector.data_ptr() for vector in vectors),
            *(rows, weights.stride(0), vectors.gradient.stride(0), length),
            *(place, move.step, chains.ctypes.data, move.seed),
            *(settings.ctypes.data, squared.ctypes.data),
        )
        return squared


@functools.cache
def compiled() -> Compiled | None:
    """The compiled move; None, with a line in the log, where there is no compiler that makes it.

    The compiler is ``CC``, which may have arguments (``ccache gcc``), or the system's. What it makes is kept in the
    user's cache under a name that stands for source, compiler and processor, so that a home shared by unlike machines
    serves each of them its own; where nothing can be kept there, each process makes its own.
    """
    try:
        command = _compiler()
        name = f"psgld-{_digest(command)}.so"
        try:
            return _load(_cache() / name, command)
        except (OSError, RuntimeError):
            with tempfile.TemporaryDirectory() as folder:
                return _load(Path(folder) / name, command)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", b"") or str(error).encode()
        reason = said.decode(errors="replace").strip().partition("\n")[0]
        print(
            f"the sampler's update is not compiled ({reason}): the plain form is used, which is slower", file=sys.stderr
        )
        return None


def _compiler() -> list[str]:
    """The compiler's command; ValueError or FileNotFoundError where there is none."""
    if command := shlex.split(os.environ.get("CC", "")):
        return command
    found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if found is None:
        raise FileNotFoundError("no C compiler is installed")
    return [found]


def _load(library: Path, compiler: list[str]) -> Compiled:
    """The move of a library, which is made where it is not there yet."""
    if not library.exists():
        with replacing(library) as temporary:
            command = [*compiler, *FLAGS, "-o", temporary, SOURCE, "-lm"]
            subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    functions = ctypes.CDLL(str(library))
    pointer, long = ctypes.c_void_p, ctypes.c_int64
    place = (ctypes.c_uint64, ctypes.c_uint32, pointer, ctypes.c_uint64)
    functions.update.argtypes = [*[pointer] * 5, *[long] * 4, *place, pointer, pointer]
    functions.noise.argtypes = [pointer, long, ctypes.c_uint64, *[ctypes.c_uint32] * 2, ctypes.c_uint64]
    functions.update.restype = functions.noise.restype = None
    return Compiled(_Functions(functions.update, functions.noise))


def _cache() -> Path:
    """RuntimeError where the user has no home."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "smdl"


def _digest(compiler: list[str]) -> str:
    cpu = Path("/proc/cpuinfo")
    features = (
        sorted({line for line in cpu.read_text().splitlines() if line.startswith(("flags", "Features"))})
        if cpu.exists()
        else []
    )
    asked = subprocess.run([*compiler, "--version"], capture_output=True, check=True, stdin=subprocess.DEVNULL)
    parts = (SOURCE.read_bytes(), " ".join(FLAGS).encode(), asked.stdout, "".join(features).encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
