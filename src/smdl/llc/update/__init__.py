"""The move of one step, in three forms of one arithmetic: compiled for a CPU, fused for a GPU, and plain.

All three make the noise of smdl.llc.noise where they use it, pass once over the vectors, and agree up to rounding.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Vectors(NamedTuple):
    """What a move reads and changes: tensors of shape (chains, n) and any float type."""

    weights: Tensor
    gradient: Tensor
    anchor: Tensor
    second_moment: Tensor
    control: Tensor | None

    def part(self, start: int, length: int) -> Vectors:
        """The elements from ``start`` on of every vector."""
        return Vectors(*(None if vector is None else vector[:, start : start + length] for vector in self))

    def exact(self) -> Vectors:
        """The same in float32: those that are float32 themselves, and copies of others."""
        return Vectors(*(None if vector is None else vector.float() for vector in self))


class Move(NamedTuple):
    """One step of a stack of chains: whose noise it takes, and the settings of pSGLD."""

    seed: int
    chains: tuple[int, ...]
    step: int
    lr: float
    n_beta: float
    gamma: float
    alpha: float
    eps_rms: float


class Update(Protocol):
    """A form of the move, for the vectors of one device."""

    def __call__(self, vectors: Vectors, move: Move, place: int) -> Tensor:
        """Move weights, second moment and control in place.

        The noise of element i is that at place ``place`` + i of the step's streams, one stream a chain; ``place`` is a
        multiple of smdl.llc.noise.GROUP. Returns the squared distances from the anchor before the move, float64, shape
        (chains,), on the vectors' device.
        """
        ...

    def normals(self, seed: int, chain: int, step: int, place: int, count: int) -> Tensor:
        """``count`` standard normals, float32, those of the stream's places from ``place`` on, a multiple of GROUP."""
        ...


def update_for(device: torch.device, compile: bool = True) -> Update:
    """The fastest form that there is for a device; the plain one without ``compile``."""
    from smdl.llc.update.compiled import compiled
    from smdl.llc.update.fused import fused
    from smdl.llc.update.plain import Plain

    fastest = None
    if compile:
        fastest = compiled() if device.type == "cpu" else fused(device)
    return fastest or Plain(device)
