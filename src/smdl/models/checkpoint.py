"""One handle for a checkpoint in a job: its weights, the token blocks of the study, and what was measured of it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from smdl.corpus.blocks import Split, load_split, read_splits
from smdl.models.loading import BlockLoss, load, stored_weights
from smdl.models.same_weights import check_weights
from smdl.tables import read_table
from smdl.tables.study import losses_of_split, weights_digest


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose weights are those of its manifest; ``dtype`` is the precision in which its job computes.

    ``files`` are the job's inputs: ``manifest`` and ``losses``, and ``blocks`` and ``splits`` where it reads tokens.
    """

    model: str
    step: int
    folder: str
    dtype: str
    files: Any

    @classmethod
    def of(cls, snakemake: Any, dtype: str) -> "Checkpoint":
        """The checkpoint of a job; StudyError where its weights are not those that were measured."""
        check_weights(snakemake.params.folder, snakemake.input.manifest)
        wildcards = snakemake.wildcards
        return cls(wildcards.model, int(wildcards.step), snakemake.params.folder, dtype, snakemake.input)

    def rows(self, rows: pd.DataFrame | list[dict[str, Any]], **more: Any) -> pd.DataFrame:
        """``rows`` with the columns that name the checkpoint in every table, and ``more`` that are common to all."""
        return pd.DataFrame(rows).assign(model=self.model, step=self.step, **more)

    @property
    def digest(self) -> str:
        """One digest for all parameters."""
        return weights_digest(read_table(self.files.manifest))

    @cached_property
    def splits(self) -> list[Split]:
        """The splits of the corpus."""
        return read_splits(self.files.splits)

    def blocks(self, split: str) -> np.ndarray:
        """The token blocks of a split, shape (blocks, context)."""
        return load_split(self.files.blocks, self.splits, split)

    def losses(self, split: str) -> np.ndarray:
        """Losses (nats per token) of the blocks of ``sampling`` or ``evaluation``, shape (blocks,)."""
        return losses_of_split(read_table(self.files.losses), split)

    def load(self, dtype: str | None = None) -> nn.Module:
        """The model, in the job's precision unless another is given."""
        return load(self.folder, dtype or self.dtype)

    def loss(self, split: str, autocast: bool = False, checkpointing: bool = False) -> BlockLoss:
        """The loss of the model on the blocks of a split, differentiable in its parameters."""
        return BlockLoss(self.load(), self.blocks(split), autocast, checkpointing)

    def smooth_loss(self, split: str, blocks: int | None) -> BlockLoss:
        """The loss on the first ``blocks`` token blocks of a split (None: all), in float32, with second derivatives.

        Fused attention has none, and bfloat16 is too coarse for them.
        """
        model = self.load("float32")
        model.set_attn_implementation("eager")
        return BlockLoss(model, self.blocks(split)[:blocks])

    def stored(self) -> dict[str, np.ndarray]:
        """Every parameter as float32 by the model's own name, without building the model."""
        return stored_weights(self.folder)
