"""Section ``llc``: the sampler around each checkpoint, and what its estimates must pass."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field

from smdl.corpus.settings import CorpusText
from smdl.settings.base import Distinct, Flag, FromOne, Integer, NotNegative, Number, Positive, Section, section

N_BETA = "Inverse temperature times sample size."
BATCH_SIZE = "Token blocks per minibatch."
BURN_IN = "Steps left out at a chain's start (not published)."
DRAWS = "Draws a chain, after burn-in."
BETWEEN = "Steps from draw to draw."


class Sampler(Section):
    """Settings of pSGLD: those of one chain; its control is the same with n_beta 0."""

    lr: Number = Field(1.0e-4, gt=0, description="Learning rate.")
    n_beta: Number = Field(30, gt=0, description=N_BETA)
    gamma: Number = Field(300, ge=0, description="Strength of the localisation around w*, in 1/weight^2.")
    alpha: Number = Field(0.99, ge=0, lt=1, description="Decay of the preconditioner's second moment.")
    eps_rms: Number = Field(0.1, gt=0, description="Added to the root of the second moment.")
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
        True, description="Sample beside every chain a control with n_beta 0, localisation noise alone."
    )
    save_every: Number = Field(300, gt=0, description="Seconds between saves of a chain's state.")
    memory: Memory = section()
    gates: Gates = section()


class ModelLlc(Section):
    """Sampler settings of this model that differ from the common ones."""

    lr: Positive | None = Field(None, description="Learning rate of the sampler.")
    sequences_at_once: FromOne | None = Field(None, description="Token blocks per backward pass.")
    n_beta: Positive | None = Field(None, description=N_BETA)
    gamma: NotNegative | None = Field(None, description="Strength of the localisation.")
    batch_size: FromOne | None = Field(None, description=BATCH_SIZE)

    def over(self, common: Llc) -> Llc:
        """The common settings with those of the model laid over them."""
        return common.model_copy(update=self.model_dump(exclude_none=True))


def check_sampler(key: str, llc: Llc, corpus: CorpusText) -> Iterator[str]:
    """A minibatch can be drawn, and the localisation does not blow up."""
    if corpus.blocks.sampling < llc.batch_size:
        yield (
            f"corpus.blocks.sampling: {corpus.blocks.sampling} blocks are fewer than"
            f" a minibatch of {key}, {llc.batch_size}"
        )
    if llc.stability >= 2:
        yield (
            f"{key}: lr gamma / (2 eps_rms) is {llc.stability:.3g}, and the localisation is stable below 2 only:"
            f" lower llc.lr ({llc.lr:g}) or llc.gamma ({llc.gamma:g})"
        )
