"""Section ``llc``: the sampler around each checkpoint, and what its estimates must pass."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, Strict

from smdl.corpus.settings import CorpusText
from smdl.settings.base import (
    AS_INTEGER,
    LONGEST_NAME,
    Count,
    Distinct,
    Flag,
    FromOne,
    Integer,
    NotNegative,
    Number,
    Positive,
    Section,
    section,
)

N_BETA = "Inverse temperature times sample size."
BATCH_SIZE = "Token blocks per minibatch."
BURN_IN = "Steps left out at a chain's start (not published)."
DRAWS = "Draws a chain, after burn-in."
BETWEEN = "Steps from draw to draw."
# Pairs of draws without a chain, independent of each other, beyond which their error is no longer the larger one.
ENOUGH = 400
Preconditioner = Literal["adaptive", "fixed"]
PRECONDITIONER = (
    "adaptive: from the gradients along the chain, as published; the posterior that is sampled is then a little off."
    " fixed: from gradients at w*, the same for all chains; it is exact but for the size of the steps."
)


class Sampler(Section):
    """Settings of pSGLD: those of one chain and of the control that it takes along."""

    lr: Number = Field(1.0e-4, gt=0, description="Learning rate.")
    n_beta: Number = Field(30, gt=0, description=N_BETA)
    gamma: Number = Field(300, ge=0, description="Strength of the localisation around w*, in 1/weight^2.")
    alpha: Number = Field(0.99, ge=0, lt=1, description="Decay of the preconditioner's second moment.")
    eps_rms: Number = Field(0.1, gt=0, description="Added to the root of the second moment.")
    preconditioner: Preconditioner = Field("adaptive", description=PRECONDITIONER)
    batch_size: Integer = Field(32, ge=1, description=BATCH_SIZE)
    burn_in: Integer = Field(0, ge=0, le=10**9, description="Steps left out at a chain's start.")
    draws: Integer = Field(100, ge=4, le=10**7, description=DRAWS)
    steps_between_draws: Integer = Field(1, ge=1, le=10**6, description=BETWEEN)
    sequences_at_once: FromOne | None = Field(
        None,
        description="Token blocks per backward pass, where a minibatch does not fit in memory; without it all at once.",
    )

    @property
    def steps(self) -> int:
        """All steps of a chain, burn-in included."""
        return self.burn_in + self.draws * self.steps_between_draws

    def draw_of(self, step: int) -> int | None:
        """The number of the draw at ``step``, from 0 on; None between draws. Steps of the burn-in count up to -1."""
        after = step - self.burn_in
        if after < 0:
            return after
        return None if after % self.steps_between_draws else after // self.steps_between_draws

    @property
    def localised_draws(self) -> int:
        """Pairs of draws without a chain: as many as a chain has draws, at most so many as are always enough."""
        return min(self.draws, ENOUGH)

    @property
    def localised_batch(self) -> int:
        """Token blocks per minibatch of draws without a chain: few, since the slopes' noise cancels within a pair."""
        return min(self.batch_size, max(8, self.batch_size // 4))

    @property
    def stability(self) -> float:
        """lr G gamma / 2 at G = 1/eps_rms, its largest value; the localisation is stable below 2."""
        return self.lr * self.gamma / (2 * self.eps_rms)

    def changed(self, **changes: float) -> Self:
        """These settings with some of them changed; raises ValueError where one would be none."""
        return type(self).model_validate({**dict(self), **changes})


class Localised(Sampler):
    """Settings of pSGLD for a model with directions of no loss, which the localisation alone holds."""

    gamma: Number = Field(gt=0, description="Strength of the localisation around w*, in 1/weight^2.")


class Grid(Section):
    """Sampler settings that are combined."""

    lr: Annotated[tuple[Positive, ...], Distinct] = Field(
        (1.0e-5, 3.0e-5, 1.0e-4), min_length=1, description="Learning rates."
    )
    n_beta: Annotated[tuple[Positive, ...], Distinct] = Field(
        (10, 30, 100), min_length=1, description="Inverse temperatures times sample size."
    )
    gamma: Annotated[tuple[NotNegative, ...], Distinct] = Field(
        (100, 300, 1000), min_length=1, description="Strengths of the localisation."
    )


class Memory(Section):
    """Ways to save memory; docs/findings/memory.md says how much, and what each costs in accuracy."""

    anchor: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="Precision in which w* is kept (bfloat16 rounds w* itself,"
        " where weights are not bfloat16 already).",
    )
    second_moment: Literal["float32", "bfloat16"] = Field(
        "float32", description="Precision in which the preconditioner is kept."
    )
    autocast: Flag = Field(False, description="Compute losses and gradients in bfloat16.")
    checkpointing: Flag = Field(
        False,
        description="Keep the input of each layer alone for the backward pass, which computes the rest again.",
    )


class Gates(Section):
    """Beyond these an estimate's status is no longer ok."""

    max_excess: Number = Field(15, gt=0, description="(diverged) Largest excess loss of a draw (nats).")
    max_r_hat: Number = Field(1.2, gt=1, description="(not mixed) Rank-normalised R-hat.")
    max_drift: Number = Field(5, gt=0, description="(drifting) Difference of the halves over its standard error.")
    max_relative_se: Number = Field(0.2, gt=0, description="(too noisy) Standard error over the estimate.")


class _Changes(Section):
    """Sampler settings that differ from others."""

    lr: Positive | None = Field(None, description="Learning rate of the sampler.")
    n_beta: Positive | None = Field(None, description=N_BETA)
    gamma: NotNegative | None = Field(None, description="Strength of the localisation.")
    batch_size: FromOne | None = Field(None, description=BATCH_SIZE)

    def over(self, common: Llc) -> Llc:
        """The ``common`` settings with these laid over them."""
        changes = self.model_dump(exclude_none=True)
        return common.model_copy(update={name: value for name, value in changes.items() if name in Llc.model_fields})


class NamedSetting(_Changes):
    """A named setting of the sampler: what it has other than the keys of llc and than the models' own."""

    alpha: Annotated[float, Field(ge=0, lt=1)] | None = Field(None, description="Decay of the second moment.")
    eps_rms: Positive | None = Field(None, description="Added to the root of the second moment.")
    preconditioner: Preconditioner | None = Field(None, description=PRECONDITIONER)
    burn_in: Count | None = Field(None, description=BURN_IN)
    draws: Annotated[int, Field(ge=4, le=10**7), AS_INTEGER] | None = Field(None, description=DRAWS)
    steps_between_draws: FromOne | None = Field(None, description=BETWEEN)
    seed: Count | None = Field(
        None,
        description="Seed of minibatches and noise, where they are not to be those of the other settings: for an"
        " estimate that is independent of another's.",
    )


# One name of a restriction (smdl.llc.restriction); other names are those of tensors.
PART = re.compile(r"full|embed|unembed|l\d+(?: attn| mlp|h\d+)?")
_NAME = rf"(?:{PART.pattern}|\w+(?:\.\w+)+)"
Restriction = Annotated[str, Strict(), Field(max_length=LONGEST_NAME, pattern=rf"^{_NAME}(?:\+{_NAME})*$")]

SettingName = Annotated[str, Strict(), Field(max_length=LONGEST_NAME, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


class Llc(Sampler):
    """pSGLD around each checkpoint (arXiv:2308.12108; settings of arXiv:2510.12077 where known)."""

    alpha: Number = Field(
        0.99,
        ge=0,
        lt=1,
        description="Decay of the preconditioner's second moment (not published; the library's default).",
    )
    eps_rms: Number = Field(
        0.1, gt=0, description="Added to the root of the second moment (not published; the library's default)."
    )
    chains: Integer = Field(4, ge=2, le=1000, description="Chains a checkpoint; R-hat needs two.")
    chains_per_job: Integer = Field(
        1, ge=1, description="Chains that one job samples, one after another; a checkpoint is loaded once per job."
    )
    burn_in: Integer = Field(0, ge=0, le=10**9, description=BURN_IN)
    burn_in_test: Flag = Field(
        False,
        description="Leave out more at the start, in tenths of the draws and at most half of them, until the rest"
        " passes Geweke's test of stationarity; the table llc says what was left out.",
    )
    control: Flag = Field(
        True,
        description="Take beside every chain its control, the localisation alone: the control variate of the LLC, and"
        " what the LLC is compared with. Without it the LLC is the plain mean over the draws.",
    )
    save_every: Number = Field(300, gt=0, description="Seconds between saves of a chain's state.")
    memory: Memory = section()
    gates: Gates = section()

    settings: dict[SettingName, NamedSetting] = Field(
        default_factory=lambda: {"published": NamedSetting()},
        min_length=1,
        description="Named settings, each with what it has other than the keys of this section and than the models'"
        " own: an LLC of its own for every checkpoint. Without this key there is one, named published, as they are.",
    )
    headline: SettingName | None = Field(
        None, description="The setting of the study's headline; without this key the first one."
    )

    restrictions: Annotated[tuple[Restriction, ...], Distinct] = Field(
        (),
        description="Parts of the weights whose LLC is estimated too, the others frozen: full, embed, unembed, l0,"
        " l0 attn, l0 mlp, l0h1 (the first layer's second head), the name of a tensor, or several joined by +.",
    )

    @property
    def first(self) -> str:
        """The name of the headline's setting."""
        return self.headline or next(iter(self.settings))

    @property
    def blocks_of_chain(self) -> int:
        """Token blocks that a chain passes forward and back; a pass forward only, as of its control, is a third."""
        forward = self.draws * self.batch_size + 2 * self.localised_draws * self.localised_batch
        return self.steps * self.batch_size + (forward // 3 if self.control else 0)


class ModelLlc(_Changes):
    """Sampler settings of this model that differ from the common ones; a named setting's own values go before them."""

    sequences_at_once: FromOne | None = Field(None, description="Token blocks per backward pass.")


def sampler_of(llc: Llc, model: ModelLlc | None, name: str) -> Llc:
    """The section ``llc`` as the setting ``name`` has it for a model."""
    return llc.settings[name].over((model or ModelLlc()).over(llc))


def check_sampler(key: str, llc: Llc, corpus: CorpusText) -> Iterator[str]:
    """A minibatch can be drawn, and the localisation does not blow up."""
    if corpus.blocks.sampling < llc.batch_size:
        yield (
            f"corpus.blocks.sampling: {corpus.blocks.sampling} blocks are fewer than"
            f" a minibatch of {key}, {llc.batch_size}"
        )
    if llc.control and not llc.gamma:
        yield f"{key}: llc.control needs a localisation, and llc.gamma is 0: set llc.control false, or gamma above 0"
    if llc.stability >= 2:
        yield (
            f"{key}: lr gamma / (2 eps_rms) is {llc.stability:.3g}, and the localisation is stable below 2 only:"
            f" lower llc.lr ({llc.lr:g}) or llc.gamma ({llc.gamma:g})"
        )
