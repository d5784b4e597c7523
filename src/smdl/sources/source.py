"""What a model source is: where the checkpoints of a model come from, and what the workflow must know of that."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, Strict

from smdl.compression.settings import Schemes
from smdl.corpus.settings import CorpusText
from smdl.llc.settings import ModelLlc
from smdl.models.shape import Shape
from smdl.settings.base import AS_INTEGER, LONGEST_NAME, Count, Distinct, FromOne, Name, Number, Section, Text
from smdl.tables import Table

if TYPE_CHECKING:
    import pandas as pd

LEAST_IN_WINDOW = 3

ModelName = Annotated[str, Strict(), Field(max_length=LONGEST_NAME, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
SchemeName = Literal[tuple(Schemes.model_fields)]


@dataclass(frozen=True)
class Task:
    """One job that makes weights: the model's name, its step where there is one job per checkpoint, files and seed.

    ``inputs`` holds what ``Making.reads`` names, ``folder`` is where the weights go.
    """

    model: str
    step: int | None
    inputs: Mapping[str, str]
    folder: Path
    seed: int


@dataclass(frozen=True)
class Making:
    """How a source's jobs make weights, as its rule and the cluster have to know it."""

    rule: str
    """The name of the rule."""
    folder: str
    """The folder of weights below the study's results. With {step} there is one job per checkpoint and the folder is
    the checkpoint; else one per model, whose checkpoints are folders ``step{step}`` in it."""
    version: int
    """To be raised when the weights change: then they are made again."""
    reads: tuple[str, ...] = ()
    """What the job reads: ``corpus``, the token blocks and their splits; ``listing``, what the hubs have; ``run``, the
    folder of the model that this one is made from."""
    tables: tuple[Table, ...] = ()
    """Tables that the job writes besides, each to the folder that bears its name."""
    settings: type[Section] | None = None
    """The type of what ``decides`` gives; None for all settings of the model."""
    copies: int = 1
    """How many vectors as long as the weights the job holds in memory."""
    runs_model: bool = False
    """Whether the job runs the model, on a GPU where that is large."""
    network: bool = False
    """Whether the job needs the network: it then runs where Snakemake runs, and is tried again when it fails."""
    temporary: bool = False
    """Whether weights are deleted once all have used them, no more than the disk window at a time being there."""

    @property
    def per_step(self) -> bool:
        """Whether there is one job per checkpoint."""
        return "{step}" in self.folder

    def path_of(self, table: Table) -> str:
        """Where a job writes one of its ``tables``, below the study's results."""
        return f"{table.name}/{{model}}/step{{step}}.parquet" if self.per_step else f"{table.name}/{{model}}.parquet"


class Source(Section):
    """One model source: everything that the rest of the workflow knows of it is declared in its class.

    A source is a module of smdl.sources with one subclass of this class; the module's name is the source's name in the
    config. The fields are the settings of a model, with their defaults and descriptions; the first line of the
    docstring describes the source in the reference. A source without ``making`` reads folders that the user has.
    """

    making: ClassVar[Making | None] = None
    listed: ClassVar[bool] = False
    """Whether a hub is asked for the files of all checkpoints before any is downloaded (rules listing, screening)."""

    parameters: FromOne | None = Field(
        None,
        description="Number of weights, for the resources that are asked for; counted from the shape for train.",
    )
    context: Annotated[int, Field(ge=2), AS_INTEGER] | None = Field(
        None, description="Longest context of the model (tokens); that of the corpus for train."
    )
    steps: Annotated[tuple[Count, ...], Distinct] = Field(
        min_length=1,
        max_length=10_000,
        description="Training steps of the checkpoints to study; where there is but one checkpoint they may be left"
        " out, and are [0].",
    )
    window: Annotated[tuple[Count, ...], Field(min_length=2, max_length=2)] | None = Field(
        None,
        description="First and last step of the regression's window; without one the model is measured, and no line is"
        " fitted to it.",
    )
    dtype: Literal["float32", "tf32", "bfloat16"] = Field(
        "float32",
        description="Precision in which the weights are held and the losses taken; tf32: held in float32, multiplied by"
        " a GPU in TF32, in chains and schemes (docs/findings/gpu.md).",
    )
    schemes: Annotated[tuple[SchemeName, ...], Field(min_length=1), Distinct] = Field(
        default_factory=tuple,
        description="Schemes of this config that are run on this model; all of them where the key is left out.",
    )
    llc: ModelLlc | None = None
    covariates: dict[Name, Number | Text | tuple[Number | Text, ...]] = Field(
        default_factory=dict,
        description="What distinguishes the model from others, by name, for the table covariates and for a population;"
        " a list has a value for each of the steps. Of models that the study trains, all settings of the training are"
        " there without it.",
    )

    @property
    def origin(self) -> str | None:
        """The model that this one is made from, where it is a branch of another."""
        return None

    def made_with(self, step: int, context: int, seed: int) -> dict[str, float | str]:
        """The covariates of the checkpoint of ``step``, as far as the config tells.

        ``context`` is that of the corpus, ``seed`` the study's.
        """
        given = {name: value for name, value in self.covariates.items() if not isinstance(value, tuple)}
        if step in self.steps:
            at = self.steps.index(step)
            given |= {name: value[at] for name, value in self.covariates.items() if isinstance(value, tuple)}
        return given

    def size(self, vocabulary: int) -> int:
        """Number of weights, 0 where nobody said it; ``vocabulary`` is that of the corpus."""
        return self.parameters or 0

    def shape(self, vocabulary: int) -> Shape:
        """What is known of the model's shape."""
        return Shape.of(self.size(vocabulary), vocabulary)

    def folder(self, step: int) -> Path:
        """The user's folder of a checkpoint, of a source that makes none."""
        raise LookupError(f"the weights of {type(self).__name__} are made by a job")

    @property
    def training_blocks(self) -> int:
        """Blocks of the corpus's training split that are needed at least."""
        return 0

    def tokens(self, context: int, origin: Source | None = None) -> int:
        """Tokens that a job of ``making`` passes through the model, at most.

        ``context`` is that of the corpus, ``origin`` the model that this one is made from.
        """
        return 0

    def decides(self, step: int | None, schemes: Schemes) -> Section:
        """What decides the weights that a job makes, beside its inputs, its seed and its version."""
        return self

    @classmethod
    def make(cls, settings: Section, task: Task) -> Mapping[str, pd.DataFrame | list[dict]]:
        """Fill ``task.folder``, whole or not at all; the rows of each of ``making.tables`` by its name.

        ``settings`` are what ``decides`` gave.
        """
        raise LookupError(f"{cls.__name__} makes no weights")

    @abstractmethod
    def has_step(self, step: int) -> bool:
        """Whether there is a checkpoint of ``step``, as far as can be told without a network."""

    @abstractmethod
    def known_steps(self) -> str:
        """What to say where there is none."""

    def conflicts(self, key: str, corpus: CorpusText, schemes: Schemes) -> Iterator[str]:
        """Problems of the model under ``key`` that no single setting shows, one line each."""
        yield from self.missing_steps(key)
        yield from self._window_conflicts(key)
        if self.context is not None and corpus.context > self.context:
            yield f"corpus.context: {corpus.context} tokens are more than {key}.context, {self.context}"
        for name, value in self.covariates.items():
            if isinstance(value, tuple) and len(value) != len(self.steps):
                yield f"{key}.covariates.{name}: {len(value)} values for {len(self.steps)} steps; one for each, or one"
        present = schemes.present()
        for name in self.schemes:
            if name not in present:
                yield f"{key}.schemes: {name!r} is not one of {', '.join(present)}, the schemes of this config"

    def origin_conflicts(self, key: str, models: Mapping[str, Source]) -> Iterator[str]:
        """Problems with the model that this one is made from, one line each; ``models`` are all of the study."""
        yield from ()

    def missing_steps(self, key: str) -> Iterator[str]:
        """Steps of which there is no checkpoint, one line each."""
        for step in self.steps:
            if not self.has_step(step):
                yield f"{key}.steps: the model has no checkpoint of step {step}{self.known_steps()}"

    def _window_conflicts(self, key: str) -> Iterator[str]:
        if self.window is None:
            return
        first, last = self.window
        if first > last:
            yield f"{key}.window: [{first}, {last}] is reversed; first the earlier step, then the later"
            return
        inside = [step for step in self.steps if first <= step <= last]
        if len(inside) < LEAST_IN_WINDOW:
            yield (
                f"{key}.window: [{first}, {last}] holds {len(inside)} of the model's steps;"
                f" a regression needs {LEAST_IN_WINDOW}"
            )
