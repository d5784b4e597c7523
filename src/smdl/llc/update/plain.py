"""The move in plain torch, for machines with neither a C compiler nor Triton, and to check the other forms against."""

import torch
from torch import Tensor

from smdl.llc.noise import GROUP, normals
from smdl.llc.update import Move, Vectors

# A chunk fits the second-level cache of a CPU; a GPU wants long ones, but the noise's words take many times its room.
CHUNK = {"cpu": 1 << 16, "cuda": 1 << 22}


class Plain:
    """The plain move, a chunk of the vectors at a time."""

    def __init__(self, device: torch.device):
        self.device = device

    def __call__(self, vectors: Vectors, move: Move, place: int) -> Tensor:
        chains, length = vectors.weights.shape
        chunk = max(CHUNK[self.device.type] // chains // GROUP * GROUP, GROUP)
        squared = torch.zeros(chains, dtype=torch.float64, device=self.device)
        for start in range(0, length, chunk):
            squared += self._chunk(vectors.part(start, chunk), move, place + start)
        return squared

    def normals(self, seed: int, chain: int, step: int, place: int, count: int) -> Tensor:
        return normals(seed, chain, step, place, count, self.device)

    def _chunk(self, vectors: Vectors, move: Move, place: int) -> Tensor:
        w, g, anchor, v, c = vectors.exact()
        streams = [self.normals(move.seed, chain, move.step, place, w.shape[1]) for chain in move.chains]
        v = (move.alpha * v).addcmul_(g, g, value=1 - move.alpha)
        preconditioner = v.sqrt().add_(move.eps_rms).reciprocal_().mul_(move.lr)
        kick = preconditioner.sqrt().mul_(torch.stack(streams))
        away = w - anchor
        squared = away.square().sum(dim=1, dtype=torch.float64)
        drift = away.mul_(move.gamma).add_(g, alpha=move.n_beta)
        vectors.weights.copy_(w.addcmul(preconditioner, drift, value=-0.5).add_(kick))
        vectors.second_moment.copy_(v)
        if c is not None:
            vectors.control.copy_(c.addcmul(preconditioner, c - anchor, value=-0.5 * move.gamma).add_(kick))
        return squared
