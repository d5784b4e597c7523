"""Section ``allocation``: how many bits each matrix gets under a budget, by every score, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from smdl.compression.schemes.round import Group
from smdl.corpus.settings import CorpusText
from smdl.settings.base import AS_INTEGER, Distinct, Integer, Number, Positive, Section, section

Bits = Annotated[int, Field(ge=1, le=16), AS_INTEGER]
Quantizer = Literal["round", "gptq"]


class Ladder(Section):
    """Chains of each matrix alone at rising n_beta, each rung begun where the last one ended."""

    n_beta: Annotated[tuple[Positive, ...], Distinct] = Field(
        (3, 30, 300), min_length=2, description="The rungs, rising."
    )
    chains: Integer = Field(2, ge=2, le=1000, description="Chains per matrix.")
    batch_size: Integer = Field(16, ge=1, description="Token blocks per minibatch.")
    burn_in: Integer = Field(20, ge=0, le=10**9, description="Steps left out at the start of every rung.")
    draws: Integer = Field(60, ge=4, le=10**7, description="Draws per rung and chain.")
    tolerance: Number = Field(
        0.01, gt=0, description="Tolerance (nats) down to which bits are counted by the score: n_beta is one over it."
    )
    step: Number = Field(
        0.1, gt=0, lt=1, description="Size of a step against the stiffest direction: lr (n_beta h + gamma) / 2."
    )
    stiffness_blocks: Integer = Field(32, ge=1, description="Token blocks on which h, its curvature, is measured.")


class Search(Section):
    """Searches on the loss of the whole model, which see how matrices interact: the upper ends."""

    blocks: Integer = Field(16, ge=2, description="Calibration blocks on which candidates are compared.")
    candidates: Integer = Field(
        4,
        ge=1,
        description="(greedy) Matrices that are tried for the next bit less: those of least measured loss per bit.",
    )
    evaluations: Integer = Field(100, ge=10, le=10**6, description="(evolutionary) Allocations tried per budget.")
    survivors: Integer = Field(8, ge=2, description="(evolutionary) Allocations that are kept and changed.")


class Allocation(Section):
    """Bits of every matrix under a budget: by every score, with one solver, judged by the loss of the whole model."""

    quantizers: Annotated[tuple[Quantizer, ...], Distinct] = Field(
        ("round", "gptq"), min_length=1, description="How matrices are quantized."
    )
    group: Group = 0
    parameters: Literal["linear", "matrices"] = Field(
        "matrices", description="Matrices that get bits: the linear maps in the layers, or these and the embeddings."
    )
    bits: Annotated[tuple[Bits, ...], Distinct] = Field(
        (2, 3, 4, 5, 6, 7, 8), min_length=2, description="Bits that a matrix may have, rising."
    )
    budgets: Annotated[tuple[Positive, ...], Distinct] = Field(
        (2.25, 2.5, 2.75, 3, 3.25, 3.5, 3.75, 4, 4.25, 4.5, 4.75, 5),
        min_length=1,
        description="Effective bits a weight: all of the model, scales and what stays dense too, over its weights.",
    )
    batch_size: Integer = Field(32, ge=1, description="Token blocks per forward pass.")
    noise: Annotated[tuple[Positive, ...], Distinct] = Field(
        (0.05, 0.1, 0.2), min_length=1, description="(higgs) Gaussian noise over the root mean square of a matrix."
    )
    noise_draws: Integer = Field(2, ge=1, description="(higgs) Draws of the noise at each size.")
    probes: Integer = Field(8, ge=1, description="(hessian_trace) Random vectors.")
    hessian_blocks: Integer = Field(32, ge=1, description="(hessian_trace) Calibration blocks.")
    published_n_beta: Number = Field(30, gt=0, description="(restricted_llc) Inverse temperature times sample size.")
    published_gamma: Number = Field(300, gt=0, description="(restricted_llc) Strength of the localisation.")
    ladder: Ladder = section()
    search: Search = section()

    def conflicts(self, key: str, corpus: CorpusText) -> Iterator[str]:
        """There are blocks to look at, and what rises rises."""
        for name, values in (("bits", self.bits), ("ladder.n_beta", self.ladder.n_beta)):
            if list(values) != sorted(values):
                yield f"{key}.{name}: {', '.join(f'{value:g}' for value in values)} do not rise"
        rungs = self.ladder.n_beta
        if not rungs[0] <= 1 / self.ladder.tolerance <= rungs[-1]:
            yield (
                f"{key}.ladder.tolerance: 1/{self.ladder.tolerance:g} does not lie between the rungs,"
                f" {rungs[0]:g} and {rungs[-1]:g}"
            )
        for name, needed in (("search.blocks", self.search.blocks), ("hessian_blocks", self.hessian_blocks)):
            if needed > corpus.blocks.calibration:
                there = corpus.blocks.calibration
                yield f"{key}.{name}: {needed} blocks are more than corpus.blocks.calibration, {there}"
        if self.ladder.batch_size > corpus.blocks.sampling:
            yield (
                f"{key}.ladder.batch_size: {self.ladder.batch_size} blocks are more than corpus.blocks.sampling,"
                f" {corpus.blocks.sampling}"
            )
