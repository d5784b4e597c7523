"""The sampler's update compiled from psgld.c where a C compiler is there; without one the plain form is used."""

import ctypes
import functools
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from smdl.foundation.files import replacing

SOURCE = Path(__file__).with_name("psgld.c")
FLAGS = ("-O3", "-march=native", "-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")


class Noise(NamedTuple):
    """Which noise an update takes: the place of its first element in the streams of a step, one stream a chain."""

    seed: int
    chains: np.ndarray
    step: int
    offset: int


Update = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor | None, Noise, np.ndarray], np.ndarray]
"""Weights, gradient, anchor, second moment and control (chains, n), noise, settings -> squared distances; see
sampler.plain."""


class Kernel(NamedTuple):
    """The two compiled functions: the update, and the noise of one stream alone (seed, chain, step, offset, count)."""

    update: Update
    normals: Callable[[int, int, int, int, int], Tensor]


@functools.cache
def compiled() -> Kernel | None:
    """The compiled functions; None, with a line in the log, where there is no compiler that makes it.

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


def _load(library: Path, compiler: list[str]) -> Kernel:
    """The functions of a library, which is made where it is not there yet."""
    if not library.exists():
        with replacing(library) as temporary:
            command = [*compiler, *FLAGS, "-o", temporary, SOURCE, "-lm"]
            subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    functions = ctypes.CDLL(str(library))
    return Kernel(_update(functions.update), _noise(functions.noise))


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


def _noise(function: Any) -> Callable[[int, int, int, int, int], Tensor]:
    function.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_uint64, *[ctypes.c_uint32] * 2, ctypes.c_uint64]
    function.restype = None

    def normals(seed: int, chain: int, step: int, offset: int, count: int) -> Tensor:
        out = torch.empty(count, dtype=torch.float32)
        function(out.data_ptr(), count, offset, step, chain, seed)
        return out

    return normals


def _update(function: Any) -> Update:
    pointer, long = ctypes.c_void_p, ctypes.c_int64
    place = (ctypes.c_uint64, ctypes.c_uint32, pointer, ctypes.c_uint64)
    function.argtypes = [*[pointer] * 5, *[long] * 4, *place, pointer, pointer]
    function.restype = None

    def update(
        weights: Tensor,
        gradient: Tensor,
        anchor: Tensor,
        second_moment: Tensor,
        control: Tensor | None,
        noise: Noise,
        settings: np.ndarray,
    ) -> np.ndarray:
        rows, length = weights.shape
        squared = np.zeros(rows)
        function(
            *(tensor.data_ptr() for tensor in (weights, gradient, anchor, second_moment)),
            None if control is None else control.data_ptr(),
            *(rows, weights.stride(0), gradient.stride(0), length),
            *(noise.offset, noise.step, noise.chains.ctypes.data, noise.seed),
            *(settings.ctypes.data, squared.ctypes.data),
        )
        return squared

    return update
