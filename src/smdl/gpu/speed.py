"""The step of a chain on a GPU beside its forward and backward pass alone, and what TF32 gains and changes."""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from smdl.gpu.pythia import random_blocks, random_model
from smdl.llc.sampler import Walker
from smdl.llc.settings import sampler_of
from smdl.models.loading import DTYPES, BlockLoss
from smdl.study.study import Study

REPEATS, WARM = 5, 2
# A product that fills any card: what it reaches is what the card can do.
SIDE = 8192


class Speed(NamedTuple):
    """Times (s) and shares of a model's chain; ``peak_share`` is of what a large product of matrices reaches.

    ``tf32_gain`` is the time of forward and backward over that in TF32, ``tf32_change`` the largest change of a
    block's loss (nats).
    """

    model: str
    step: float
    forward_backward: float
    peak_share: float
    tf32_gain: float
    tf32_change: float

    @property
    def ratio(self) -> float:
        """A step over forward and backward alone."""
        return self.step / self.forward_backward


def speed(study: Study, name: str, gpu: torch.device) -> Speed:
    """The speed of chains of the study, on a model of random weights of the size ``name``."""
    its, memory = study.models[name], study.llc.memory
    sampler = sampler_of(study.llc, its.llc, study.llc.first).changed(
        burn_in=WARM + REPEATS, draws=4, steps_between_draws=1
    )
    context, size = study.corpus.context, sampler.sequences_at_once or sampler.batch_size
    model = random_model(name, context, gpu, DTYPES[its.dtype])
    loss = BlockLoss(model, random_blocks(2 * sampler.batch_size, context), memory.autocast, memory.checkpointing)

    def both() -> None:
        for start in range(0, sampler.batch_size, size):
            (loss(np.arange(start, min(start + size, sampler.batch_size))).sum() / sampler.batch_size).backward()
        for parameter in loss.parameters:
            parameter.grad = None

    alone = _seconds(both)
    exact = loss(np.arange(size)).detach()
    model.tf32 = True
    rough, fast = loss(np.arange(size)).detach(), _seconds(both)
    model.tf32 = False
    walk = Walker(loss, sampler, memory=memory).walk(0, 0, sampler.n_beta)
    step = _seconds(lambda: next(walk))
    weights = sum(parameter.numel() for parameter in loss.parameters)
    reached = 6 * weights * sampler.batch_size * context / alone
    change = float((rough - exact).abs().max())
    return Speed(name, step, alone, reached / _peak(gpu, model.dtype), alone / fast, change)


def _peak(gpu: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a large product of matrices."""
    matrix = torch.randn(SIDE, SIDE, device=gpu, dtype=dtype)
    return 2 * SIDE**3 / _seconds(lambda: matrix @ matrix)


def _seconds(work: Callable[[], object]) -> float:
    """The median time of a call, after some that are not counted."""
    taken = []
    for _ in range(WARM + REPEATS):
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken[WARM:]))
