"""What a ruler is: something that is measured of every checkpoint and laid beside its critical levels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd
from pydantic import Field

from smdl.models.shape import Need, Shape
from smdl.settings.base import Flag, Positive, Section
from smdl.tables import Table
from smdl.tables.study import CHECKPOINT

if TYPE_CHECKING:
    from smdl.compression.scheme import Scheme
    from smdl.models.checkpoint import Checkpoint

Rows = pd.DataFrame | list[dict[str, Any]]


@dataclass(frozen=True)
class Cost:
    """What a job of a ruler takes, for what a cluster is asked for.

    ``tokens`` is how many tokens it passes forward and back, of which a pass forward only is a third; ``memory`` what
    it holds.
    """

    tokens: int
    memory: Need


@dataclass(frozen=True)
class Curve:
    """The curve that a ruler follows: what was evaluated of one variant of a scheme at a checkpoint.

    ``points`` are its rows of the table ``curves``, ``epsilons`` the tolerances of the study (nats per token),
    ``dense_bits`` the bits of a weight that the scheme leaves alone.
    """

    scheme: Scheme
    points: pd.DataFrame
    epsilons: tuple[float, ...]
    dense_bits: int


class Ruler(Section):
    """One ruler: everything that the rest of the workflow knows of it is declared in its class.

    A ruler is a module of smdl.rulers with one subclass of this class; the module's name is the ruler's name in the
    config, of its rule and in the folder of its tables. The fields are its settings, with their defaults and
    descriptions; the first line of the docstring describes the ruler in the reference.

    A ruler with ``tables`` has one job per checkpoint, which writes them (``measure``). One without reads tables that
    the study has anyway, ``gathered``. From either come the measures that are compared with critical levels.
    """

    enabled: Flag = Field(True, description="Whether to take it.")

    tables: ClassVar[tuple[Table, ...]] = ()
    """The tables that a job writes of its checkpoint."""
    gathered: ClassVar[tuple[str, ...]] = ()
    """The names of the study's tables that ``measures`` reads beside ``tables``; see smdl.rulers.registry.GATHERED."""
    version: ClassVar[int]
    """To be raised when the ruler's numbers change: then only its jobs, and what depends on them, run again."""
    runs_model: ClassVar[bool] = False
    """Whether the job runs the model on token blocks, on a GPU where the model is large; else it reads its weights."""
    follows: ClassVar[str] = ""
    """The scheme whose curve the job reads, of the variant that the ruler's setting ``variant`` names; empty for none.

    The ruler is then taken of the models that the scheme is run on.
    """
    random: ClassVar[bool] = False
    """Whether the numbers depend on the seed."""

    def cost(self, shape: Shape, dtype: str, context: int, evaluation: int) -> Cost:
        """What a job takes of a model of that shape and precision.

        ``context`` is the tokens per block, ``evaluation`` the tokens of all evaluation blocks.
        """
        return Cost(evaluation, Need(host=6 * 4 * shape.weights))

    def takes(self, weights: int) -> bool:
        """Whether it is taken of a model of so many weights."""
        return True

    def measure(self, checkpoint: Checkpoint, seed: int | None, curve: Curve | None) -> Mapping[str, Rows]:
        """The rows of each of ``tables`` by its name, without the columns that name model and step.

        ``seed`` is None unless the ruler is ``random``, ``curve`` unless it ``follows`` a scheme. A ruler without
        tables has nothing to measure.
        """
        return {}

    @classmethod
    @abstractmethod
    def measures(cls, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Rows (model, step, measure, value) from the study's ``tables`` of the ruler, by name; all checkpoints."""


class ModelRuler(Ruler):
    """A ruler whose memory on a GPU grows with the model, so that it may be left out of the largest."""

    most_weights: Positive | None = Field(None, description="Models of more weights are left out; None: none is.")

    runs_model = True

    def takes(self, weights: int) -> bool:
        return self.most_weights is None or weights <= self.most_weights


def from_columns(table: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Measures from columns of a table with one row per checkpoint; ``names`` gives each column's measure."""
    chosen = table[[*CHECKPOINT, *names]].rename(columns=dict(names))
    return chosen.melt(CHECKPOINT, var_name="measure", value_name="value").astype({"value": float})


def from_rows(table: pd.DataFrame, measure: pd.Series, column: str) -> pd.DataFrame:
    """Measures from one ``column`` of a table with several rows per checkpoint; ``measure`` names that of each row."""
    return table[CHECKPOINT].assign(measure=measure, value=table[column].astype(float))
