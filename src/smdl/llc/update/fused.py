"""The move as one Triton kernel for a GPU: each vector is read and written once, and the noise never lies in memory.

TRITON_INTERPRET=1, set before the first import, runs the same kernel on a CPU, slowly.
"""

import functools
import sys

import torch
from torch import Tensor

from smdl.llc.noise import LANES
from smdl.llc.update import Move, Vectors

try:
    import triton
    from triton import language as tl
except ImportError:
    triton = None

# Counters of a program; each gives four normals.
COUNTERS = 256


@functools.cache
def fused(device: torch.device) -> "Fused | None":
    """The fused move; None, with a line in the log, where Triton is missing."""
    if triton is None:
        print("the sampler's update is not fused (no module triton): the plain form is used", file=sys.stderr)
        return None
    return Fused(device)


class Fused:
    """The fused move; a launch moves a vector of a stack of chains as a whole."""

    def __init__(self, device: torch.device):
        self.device = device
        self._made: dict[tuple[int, ...], Tensor] = {}

    def __call__(self, vectors: Vectors, move: Move, place: int) -> Tensor:
        weights, gradient, anchor, second_moment, control = vectors
        chains, length = weights.shape
        programs = triton.cdiv(length, 4 * COUNTERS)
        squared = torch.empty(chains, programs, dtype=torch.float32, device=self.device)
        _move[(programs, chains)](
            *(weights, gradient, anchor, second_moment, weights if control is None else control),
            *(squared, self._numbers(move.chains)),
            *(length, weights.stride(0), gradient.stride(0), place // 4, move.step, move.seed),
            *(move.lr, move.n_beta, move.gamma, move.alpha, move.eps_rms),
            with_control=control is not None,
            lanes=LANES,
            counters=COUNTERS,
        )
        return squared.sum(dim=1, dtype=torch.float64)

    def _numbers(self, chains: tuple[int, ...]) -> Tensor:
        """The chains' numbers on the device; made once, since a copy to a GPU waits for it."""
        if chains not in self._made:
            self._made = {chains: torch.tensor(chains, device=self.device)}
        return self._made[chains]

    def normals(self, seed: int, chain: int, step: int, place: int, count: int) -> Tensor:
        out = torch.empty(count, dtype=torch.float32, device=self.device)
        grid = (triton.cdiv(count, 4 * COUNTERS),)
        _write_normals[grid](out, count, place // 4, step, chain, seed, lanes=LANES, counters=COUNTERS)
        return out


if triton is not None:

    @triton.jit
    def _logarithm(u):
        """As in psgld.c, since a fast logarithm may be wrong where u is near 1."""
        bits = u.to(tl.int32, bitcast=True)
        exponent = (bits - 0x3F3504F3) >> 23
        x = (bits - (exponent << 23)).to(tl.float32, bitcast=True) - 1.0
        e = exponent.to(tl.float32)
        z = x * x
        p = 7.0376836292e-2 * x - 1.1514610310e-1
        p = p * x + 1.1676998740e-1
        p = p * x - 1.2420140846e-1
        p = p * x + 1.4249322787e-1
        p = p * x - 1.6668057665e-1
        p = p * x + 2.0000714765e-1
        p = p * x - 2.4999993993e-1
        p = p * x + 3.3333331174e-1
        return x * z * p - 2.12194440e-4 * e - 0.5 * z + x + 0.693359375 * e

    @triton.jit
    def _box_muller(u, v):
        radius = tl.sqrt_rn(-2.0 * _logarithm(((u >> 8) + 1).to(tl.int32).to(tl.float32) * (1.0 / (1 << 24))))
        turn = (v >> 8).to(tl.int32)
        quadrant = (turn + (1 << 21)) >> 22
        x = (turn - (quadrant << 22)).to(tl.float32) * (1.57079632679 / (1 << 22))
        z = x * x
        s = x + x * z * (-1.6666654611e-1 + z * (8.3321608736e-3 - z * 1.9515295891e-4))
        c = 1.0 - 0.5 * z + z * z * (4.166664568298827e-2 + z * (-1.388731625493765e-3 + z * 2.443315711809948e-5))
        odd = (quadrant & 1) == 1
        other = tl.where(odd, s, c)
        along = tl.where(odd, c, s)
        cosine = radius * tl.where(((quadrant + 1) & 2) == 2, -other, other)
        sine = radius * tl.where((quadrant & 2) == 2, -along, along)
        return cosine, sine

    @triton.jit
    def _normals(counter, step, chain, seed):
        high = (counter >> 32).to(tl.uint32)
        blank = tl.zeros_like(high)
        words = tl.philox(seed, counter.to(tl.uint32), high, blank + step.to(tl.uint32), blank + chain.to(tl.uint32))
        first = _box_muller(words[0], words[1])
        second = _box_muller(words[2], words[3])
        return first[0], first[1], second[0], second[1]

    @triton.jit
    def _place(counter, lanes: tl.constexpr):
        """Where the first of a counter's four normals lies; the others lie ``lanes`` apart."""
        return counter // lanes * (4 * lanes) + counter % lanes

    @triton.jit(do_not_specialize=["count", "first", "step", "chain", "seed"])
    def _write_normals(out, count, first, step, chain, seed, lanes: tl.constexpr, counters: tl.constexpr):
        counter = tl.program_id(0).to(tl.int64) * counters + tl.arange(0, counters)
        z = _normals(counter + first, tl.to_tensor(step), tl.to_tensor(chain), seed)
        at = _place(counter, lanes)
        for i in tl.static_range(4):
            tl.store(out + at + i * lanes, z[i], mask=at + i * lanes < count)

    @triton.jit(do_not_specialize=["length", "first", "step", "seed"])
    def _move(
        weights,
        gradient,
        anchor,
        second_moment,
        control,
        squared,
        chains,
        length,
        stride,
        gradient_stride,
        first,
        step,
        seed,
        lr,
        n_beta,
        gamma,
        alpha,
        eps_rms,
        with_control: tl.constexpr,
        lanes: tl.constexpr,
        counters: tl.constexpr,
    ):
        row = tl.program_id(1).to(tl.int64)
        counter = tl.program_id(0).to(tl.int64) * counters + tl.arange(0, counters)
        z = _normals(counter + first, tl.to_tensor(step), tl.load(chains + row), seed)
        place = _place(counter, lanes)
        distance = tl.zeros([counters], dtype=tl.float32)
        for i in tl.static_range(4):
            at = place + i * lanes
            there = at < length
            at += row * stride
            w = tl.load(weights + at, mask=there, other=0.0).to(tl.float32)
            w_star = tl.load(anchor + at, mask=there, other=0.0).to(tl.float32)
            g = tl.load(gradient + at + row * (gradient_stride - stride), mask=there, other=0.0).to(tl.float32)
            v = tl.load(second_moment + at, mask=there, other=0.0).to(tl.float32)
            v = alpha * v + (1.0 - alpha) * g * g
            scaled = tl.div_rn(lr + tl.zeros_like(v), tl.sqrt_rn(v) + eps_rms)
            kick = tl.sqrt_rn(scaled) * z[i]
            away = w - w_star
            w += kick - 0.5 * scaled * (gamma * away + n_beta * g)
            tl.store(weights + at, w.to(weights.dtype.element_ty), mask=there)
            tl.store(second_moment + at, v.to(second_moment.dtype.element_ty), mask=there)
            distance += away * away
            if with_control:
                c = tl.load(control + at, mask=there, other=0.0).to(tl.float32)
                c += kick - 0.5 * scaled * gamma * (c - w_star)
                tl.store(control + at, c.to(control.dtype.element_ty), mask=there)
        tl.store(squared + row * tl.num_programs(0) + tl.program_id(0), tl.sum(distance))
