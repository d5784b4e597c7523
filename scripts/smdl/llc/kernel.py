"""The sampler's update compiled from psgld.c where a C compiler is there; without one the plain form is used."""

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Protocol

from torch import Tensor

SOURCE = Path(__file__).with_name("psgld.c")
FLAGS = ("-O3", "-march=native", "-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")


class Kernel(Protocol):
    """``update`` of psgld.c over float32 tensors; its numbers are those of smdl.llc.sampler.plain up to rounding."""

    def __call__(
        self,
        weights: Tensor,
        gradient: Tensor,
        anchor: Tensor,
        second_moment: Tensor,
        place: tuple[int, int, int, int],
        settings: tuple[float, float, float, float, float],
    ) -> float: ...


@functools.cache
def compiled() -> Kernel | None:
    """The compiled update; None where there is no compiler that makes it.

    It is compiled anew in every process (a second), so that no file made for another machine is ever loaded.
    """
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "psgld.so"
        made = subprocess.run([compiler, *FLAGS, "-o", library, SOURCE, "-lm"], capture_output=True)
        if made.returncode:
            return None
        return _wrapped(ctypes.CDLL(str(library)).update)


def _wrapped(update) -> Kernel:
    place = (ctypes.c_uint64, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_uint64)
    update.argtypes = [*[ctypes.c_void_p] * 4, ctypes.c_int64, *place, *[ctypes.c_float] * 5]
    update.restype = ctypes.c_double

    def kernel(weights, gradient, anchor, second_moment, place, settings) -> float:
        pointers = (weights.data_ptr(), gradient.data_ptr(), anchor.data_ptr(), second_moment.data_ptr())
        return update(*pointers, weights.numel(), *place, *settings)

    return kernel
