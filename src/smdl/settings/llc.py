"""Section ``llc``: the sampler around each checkpoint, and what its estimates must pass."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from smdl.settings.base import Flag, FromOne, Integer, NotNegative, Number, Positive, Section, section
from smdl.settings.corpus import CorpusText

N_BETA = "Inverse temperature times sample size."
BATCH_SIZE = "Token blocks a minibatch."
BURN_IN = "Steps left out at a chain's start (not published)."
DRAWS = "Draws a chain, after burn-in."
BETWEEN = "Steps from draw to draw."


class Dynamics(Section):
    """What every block of sampler settings says of the steps."""

    lr: Number = Field(1.0e-4, gt=0, description="Learning rate.")
    n_beta: Number = Field(30, gt=0, description=N_BETA)
    gamma: Number = Field(300, ge=0, description="Strength of the localisation around w*, in 1/weight^2.")
    alpha: Number = Field(0.99, ge=0, lt=1, description="Decay of the preconditioner's second moment.")
    eps_rms: Number = Field(0.1, gt=0, description="Added to the root of the second moment.")
    batch_size: Integer = Field(32, ge=1, description=BATCH_SIZE)


class Sampler(Dynamics):
    """Settings of pSGLD, as in llc."""

    gamma: Number = Field(gt=0, description="Strength of the localisation around w*, in 1/weight^2.")
    burn_in: Integer = Field(0, ge=0, le=10**9, description="Steps left out at a chain's start.")
    draws: Integer = Field(100, ge=4, le=10**7, description=DRAWS)
    steps_between_draws: Integer = Field(1, ge=1, le=10**6, description=BETWEEN)


class Memory(Section):
    """Ways to save memory; docs/memory.md says how much, and what each costs in accuracy."""

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


class Llc(Dynamics):
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
    sequences_at_once: FromOne | None = Field(
        None,
        description="Token blocks a backward pass, where a minibatch does not fit in memory; without it all at once.",
    )
    chains: Integer = Field(4, ge=2, le=1000, description="Chains a checkpoint; R-hat needs two.")
    chains_per_job: Integer = Field(
        1, ge=1, description="Chains that one job samples, one after another; a checkpoint is loaded once a job."
    )
    burn_in: Integer = Field(0, ge=0, le=10**9, description=BURN_IN)
    burn_in_test: Flag = Field(
        False,
        description="Leave out more at the start, in tenths of the draws and at most half of them, until the rest"
        " passes Geweke's test of stationarity; the table llc says what was left out.",
    )
    draws: Integer = Field(100, ge=4, le=10**7, description=DRAWS)
    steps_between_draws: Integer = Field(1, ge=1, le=10**6, description=BETWEEN)
    control: Flag = Field(
        True, description="Sample beside every chain a control with n_beta 0, localisation noise alone."
    )
    save_every: Number = Field(300, gt=0, description="Seconds between saves of a chain's state.")
    memory: Memory = section()
    gates: Gates = section()


class ModelLlc(Section):
    """Sampler settings of this model that differ from the common ones."""

    lr: Positive | None = Field(None, description="Learning rate of the sampler.")
    sequences_at_once: FromOne | None = Field(None, description="Token blocks a backward pass.")
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
    stability = llc.lr * llc.gamma / (2 * llc.eps_rms)
    if stability >= 2:
        yield (
            f"{key}: lr gamma / (2 eps_rms) is {stability:.3g}, and the localisation is stable below 2 only:"
            f" lower llc.lr ({llc.lr:g}) or llc.gamma ({llc.gamma:g})"
        )
