"""The peak memory of a study's jobs on a GPU, beside what the plan computes from their shapes."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from smdl.compression.levels import levels_of
from smdl.compression.loss import CompressionLoss
from smdl.compression.weights import Weights
from smdl.gpu.pythia import random_blocks, random_model
from smdl.llc.sampler import Walker
from smdl.llc.settings import sampler_of
from smdl.models.loading import DTYPES, BlockLoss
from smdl.rulers.codes.noisy import describe, mixture_prior
from smdl.runtime.cluster.memory import needs
from smdl.study.study import Study

TOLERANCE = 0.15
"""How far the computed memory may be from the measured one."""


class Peak(NamedTuple):
    """The largest memory of one job (bytes) as it was computed and as it was measured; ``note`` where it failed."""

    model: str
    rule: str
    computed: float
    measured: float
    note: str = ""

    @property
    def ratio(self) -> float:
        """Computed over measured."""
        return self.computed / self.measured

    @property
    def holds(self) -> bool:
        """Whether the two are as near as they shall be."""
        return abs(self.ratio - 1) <= TOLERANCE


def peaks(study: Study, model: str, gpu: torch.device) -> Iterator[Peak]:
    """A chain, a level of every scheme of the study, and bits back, for a model of random weights of that size."""
    computed = needs(study, model)
    jobs: dict[str, Callable[[], None]] = {"llc_chains": lambda: _chain(study, model, gpu)}
    for scheme in study.models[model].schemes:
        jobs[scheme] = lambda scheme=scheme: _level(study, model, gpu, scheme)
    if "bits_back" in study.rulers.enabled():
        jobs["bits_back"] = lambda: _bits_back(study, model, gpu)
    for rule, job in jobs.items():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        note = ""
        try:
            job()
        except torch.cuda.OutOfMemoryError as error:
            note = str(error).splitlines()[0]
        yield Peak(model, rule, computed[rule].device, float(torch.cuda.max_memory_allocated()), note)


def _chain(study: Study, model: str, gpu: torch.device) -> None:
    its, memory = study.models[model], study.llc.memory
    sampler = sampler_of(study.llc, its.llc, study.llc.first).changed(burn_in=0, draws=4, steps_between_draws=1)
    blocks = random_blocks(2 * sampler.batch_size, study.corpus.context)
    loss = BlockLoss(
        random_model(model, study.corpus.context, gpu, DTYPES[its.dtype]),
        blocks,
        memory.autocast,
        memory.checkpointing,
    )
    walker = Walker(loss, sampler, memory=memory, control=study.llc.control)
    for _ in zip(range(2), walker.walk(0, 0, sampler.n_beta), strict=False):
        pass


@torch.no_grad()
def _level(study: Study, model: str, gpu: torch.device, name: str) -> None:
    """The middle level of a scheme's first variant, as in its job."""
    settings, how = study.compression.schemes.present()[name], study.compression
    scheme = next(iter(settings.variants.values()))
    levels = levels_of(settings.levels, scheme.axis)
    blocks = random_blocks(how.batch_size, study.corpus.context)
    weights = Weights(random_model(model, study.corpus.context, gpu), how.dense_bits, blocks, how.batch_size)
    loss = CompressionLoss(weights, blocks, np.zeros(len(blocks)), how.batch_size)
    tuned = scheme.tuned and scheme.tuned.high / 2
    loss(scheme.compress(weights, levels[len(levels) // 2], 0, tuned))


def _bits_back(study: Study, model: str, gpu: torch.device) -> None:
    ruler = study.rulers.enabled()["bits_back"]
    blocks = random_blocks(2 * ruler.batch_size, study.corpus.context)
    loss = BlockLoss(random_model(model, study.corpus.context, gpu, DTYPES[study.models[model].dtype]), blocks)
    prior = mixture_prior(np.random.default_rng(0).normal(size=10_000), ruler.components)
    describe(loss, prior, replace(ruler.noise, steps=2, samples=2), seed=0)
