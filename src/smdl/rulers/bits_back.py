"""Bits back: the description length of a checkpoint by noisy weights (Hinton and van Camp 1993)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd
from pydantic import Field

from smdl.models.shape import BYTES, Need, Shape, held_elsewhere
from smdl.rulers.ruler import Cost, Curve, ModelRuler, Rows, from_columns
from smdl.settings.base import Flag, FromOne, Integer, Number
from smdl.tables import NUMBER, Column, Table
from smdl.tables.study import MODEL, STEP

if TYPE_CHECKING:
    from smdl.models.checkpoint import Checkpoint
    from smdl.rulers.codes.noisy import NoisySettings

BITS_BACK = Table(
    "bits_back",
    "Description length of every checkpoint by noisy weights (Hinton and van Camp 1993).",
    ("model", "step"),
    (
        MODEL,
        STEP,
        Column("weight_bits", NUMBER, "mixture bound of KL(Q || P), summed over the weights", "bits"),
        Column("bits_per_parameter", NUMBER, "weight_bits over the number of weights", "bits"),
        Column("prior_bits", NUMBER, "parameters of the prior, 32 bits each", "bits"),
        Column("loss", NUMBER, "loss without noise", "nats per token"),
        Column("expected_loss", NUMBER, "expected loss of the noisy weights", "nats per token"),
        Column("expected_loss_se", NUMBER, "its standard error over sampled weights", "nats per token"),
        Column("data_bits", NUMBER, "n times the expected loss over ln 2", "bits"),
        Column("total_bits", NUMBER, "weights, prior and data", "bits"),
    ),
)


class BitsBack(ModelRuler):
    """Noisy weights fitted to each checkpoint (Hinton and van Camp 1993)."""

    tokens: Number = Field(1.0e6, gt=0, description="The tokens of data that the weights are to pay for.")
    components: Integer = Field(5, ge=1, le=1000, description="Gaussians of the mixture prior.")
    steps: Integer = Field(200, ge=1, le=10**9, description="Updates of the noise.")
    lr: Number = Field(0.05, gt=0, description="Adam's rate on log deviations.")
    batch_size: Integer = Field(16, ge=1, description="Token blocks per minibatch.")
    initial_std: Number = Field(
        0.01,
        gt=0,
        description="Initial deviation over that of all weights; small, as deviations rise faster than they fall.",
    )
    train_means: Flag = Field(False, description="Whether the means of the weights move as well.")
    sequences_at_once: FromOne | None = Field(
        None, description="Token blocks per pass, to save memory; None: the whole minibatch."
    )
    samples: Integer = Field(8, ge=2, le=10**6, description="Sampled weights behind the expected loss.")

    tables = (BITS_BACK,)
    version = 4
    random = True

    def cost(self, shape: Shape, dtype: str, context: int, evaluation: int) -> Cost:
        blocks = min(self.batch_size, self.sequences_at_once or self.batch_size)
        each, single = BYTES[dtype], BYTES["float32"]
        # Log deviations and Adam's two moments of them, and the anchors; of means that move, all that again.
        vectors = 3 + 4 * self.train_means
        learnt = (single * vectors + each) * shape.weights
        far = held_elsewhere(shape.weights, vectors + 1)
        # Beside the model its gradients, and of a tensor mean, log deviation, noise and what follows from them.
        gradients = each * (shape.weights if blocks < self.batch_size else shape.largest)
        passed = shape.passed(blocks * context, each, gradient=True)
        device = each * shape.weights + gradients + 8 * single * shape.largest + passed
        # The prior is fitted to the weights in main memory.
        prior = single * shape.weights
        memory = Need(device, max(learnt, prior)) if far else Need(device + learnt, prior)
        return Cost(3 * self.steps * self.batch_size * context + self.samples * evaluation, memory)

    def measure(self, checkpoint: Checkpoint, seed: int | None, curve: Curve | None) -> Mapping[str, Rows]:
        from smdl.rulers.codes.noisy import describe_checkpoint

        loss = checkpoint.loss("evaluation")
        return {"bits_back": [describe_checkpoint(loss, self.components, self.noise, seed)]}

    @property
    def noise(self) -> NoisySettings:
        """How the noisy weights are fitted."""
        from smdl.rulers.codes.noisy import NoisySettings

        names = NoisySettings.__dataclass_fields__
        return NoisySettings(**{name: getattr(self, name) for name in names})

    @classmethod
    def measures(cls, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        return from_columns(tables["bits_back"], {"weight_bits": "bits back", "total_bits": "bits back, total"})
