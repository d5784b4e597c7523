"""Section ``models``: one entry per model, and one class per source of checkpoints."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, Strict, model_validator

from smdl.models import files as checkpoint_files
from smdl.models.architectures import objections, read_config
from smdl.runtime.errors import StudyError
from smdl.settings.base import (
    AS_INTEGER,
    LONGEST_NAME,
    Count,
    Distinct,
    FromOne,
    Integer,
    Name,
    Number,
    Repository,
    Section,
    StepBranch,
    StepPattern,
)
from smdl.settings.corpus import CorpusText
from smdl.settings.llc import ModelLlc
from smdl.settings.schemes import Schemes

SOURCE = "hub - downloaded; local - a folder of checkpoints on disk; train - trained on the spot."
# EleutherAI/pythia, README: 154 checkpoints a model.
PYTHIA_STEPS = {0, *(2**i for i in range(10)), *range(1000, 143001, 1000)}
MOST_PARAMETERS = 10**11
LEAST_IN_WINDOW = 3

ModelName = Annotated[str, Strict(), Field(max_length=LONGEST_NAME, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
SchemeName = Literal[tuple(Schemes.model_fields)]


class Model(Section):
    """What every model has, wherever its checkpoints come from."""

    revision: StepBranch = Field(
        "step{step}",
        description="(hub) Branch of a checkpoint, with {step} where the step stands, and * for what else its name has;"
        " without {step} the repository holds one checkpoint.",
    )
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
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="Precision in which the weights are held and the losses taken."
    )
    schemes: Annotated[tuple[SchemeName, ...], Field(min_length=1), Distinct] = Field(
        default_factory=tuple,
        description="Schemes of this config that are run on this model; all of them where the key is left out.",
    )
    llc: ModelLlc | None = None

    def has_step(self, step: int) -> bool:
        """Whether there is a checkpoint of ``step``, as far as can be told without a network."""
        return True

    def known_steps(self) -> str:
        """What to say where there is none."""
        return ""


class StoredModel(Model):
    """A model whose checkpoints are there already, one per step or one alone."""

    model_config = ConfigDict(json_schema_extra=lambda schema: schema["required"].remove("steps"))

    where: ClassVar[str]
    """The key that says where a checkpoint is."""

    @model_validator(mode="before")
    @classmethod
    def _one_checkpoint(cls, raw: Any) -> Any:
        """Where the place of the checkpoints has no {step} there is one, and its step need not be given."""
        if not isinstance(raw, dict) or "steps" in raw or "{step}" in str(raw.get(cls.where, "{step}")):
            return raw
        return {**raw, "steps": [0]}

    @property
    def place(self) -> str:
        return getattr(self, self.where)


class HubModel(StoredModel):
    where = "revision"

    source: Literal["hub"] = Field(description=SOURCE)
    repo: Repository = Field(description="(hub) Repository, as owner/name.")

    def has_step(self, step: int) -> bool:
        return not self.repo.startswith("EleutherAI/pythia") or "{step}" not in self.revision or step in PYTHIA_STEPS

    def known_steps(self) -> str:
        return "; Pythia has 0, powers of 2 up to 512, and every 1000 up to 143000"


class LocalModel(StoredModel):
    where = "path"

    source: Literal["local"] = Field(description=SOURCE)
    path: StepPattern = Field(
        description="(local) Folder of a checkpoint in Hugging Face format, with {step} where the step stands; without"
        " it the folder is the one checkpoint."
    )

    def folder(self, step: int) -> Path:
        """Where the checkpoint of ``step`` lies."""
        return Path(self.path.replace("{step}", str(step)))

    def has_step(self, step: int) -> bool:
        return self.folder(step).is_dir()

    def known_steps(self) -> str:
        return f"; there is no folder {self.path}"


class Architecture(Section):
    """(train) Shape of the GPT-NeoX model."""

    layers: Integer = Field(ge=1, le=1000, description="Number of layers.")
    hidden: Integer = Field(ge=2, le=65536, description="Width of the residual stream.")
    heads: Integer = Field(ge=1, description="Attention heads; they divide hidden.")


class Training(Section):
    """(train) AdamW, linear warm-up, cosine decay to a tenth."""

    steps: Integer = Field(ge=1, le=10**9, description="Length of the learning-rate schedule (steps).")
    batch_size: Integer = Field(ge=1, le=10**6, description="Token blocks a step.")
    lr: Number = Field(gt=0, description="Peak learning rate.")
    warmup: Integer = Field(0, ge=0, description="Steps of linear warm-up.")
    weight_decay: Number = Field(0.01, ge=0, description="AdamW's decoupled weight decay.")


class Constraint(Section):
    """(train) A compression scheme that is put on the weights while they are trained; the checkpoints then go through
    the whole study."""

    scheme: Name = Field(description="A scheme of this config that tunes nothing.")
    variant: Name = Field(description="One of its variants.")
    level: Number = Field(gt=0, description="Level of the scheme.")
    mode: Literal["projection", "straight-through"] = Field(
        "projection",
        description="Weights replaced every so many steps, or compressed in the forward pass only (QAT).",
    )
    every: Integer = Field(50, ge=1, description="(projection) Steps between projections.")


class TrainedModel(Model):
    source: Literal["train"] = Field(description=SOURCE)
    architecture: Architecture
    training: Training
    constraint: Constraint | None = None

    def has_step(self, step: int) -> bool:
        return step <= self.training.steps

    def known_steps(self) -> str:
        return f"; its training ends at step {self.training.steps}"


AnyModel = Annotated[HubModel | LocalModel | TrainedModel, Field(discriminator="source")]


def check_model(key: str, model: Model, corpus: CorpusText, schemes: Schemes) -> Iterator[str]:
    """The model's checkpoints are there, and are what its keys say."""
    if isinstance(model, TrainedModel):
        yield from _check_shape(f"{key}.architecture", model.architecture)
        if model.constraint:
            yield from _check_constraint(f"{key}.constraint", model.constraint, schemes)
    yield from _check_steps(key, model)
    if isinstance(model, LocalModel):
        yield from _check_files(key, model, corpus)
    if model.context is not None and corpus.context > model.context:
        yield f"corpus.context: {corpus.context} tokens are more than {key}.context, {model.context}"
    present = schemes.present()
    for name in model.schemes:
        if name not in present:
            yield f"{key}.schemes: {name!r} is not one of {', '.join(present)}, the schemes of this config"


def _check_files(key: str, model: LocalModel, corpus: CorpusText) -> Iterator[str]:
    """The files of a local model are whole, and compression can handle what its config.json describes."""
    lines: dict[str, str] = {}
    for folder in dict.fromkeys(model.folder(step) for step in model.steps):
        if folder.is_dir():
            # All steps of a model are of one kind: what speaks against it is said once.
            lines |= {line.removeprefix(str(folder)): line for line in _problems(folder, model, corpus)}
    yield from (f"{key}: {line}" for line in lines.values())


def _problems(folder: Path, model: LocalModel, corpus: CorpusText) -> list[str]:
    """What speaks against a checkpoint: first the kind of model that it is, then its files."""
    try:
        found = [f"{folder}/config.json: {line}" for line in objections(read_config(folder), model.schemes)]
    except StudyError as problem:
        return [str(problem)]
    return found or checkpoint_files.problems(folder, corpus.context)


def _check_shape(key: str, shape: Architecture) -> Iterator[str]:
    if shape.hidden % shape.heads:
        yield f"{key}.heads: {shape.heads} does not divide hidden, {shape.hidden}"
    weights = 12 * shape.layers * shape.hidden**2
    if weights > MOST_PARAMETERS:
        yield f"{key}: {weights:.1e} weights are more than can be trained here; at most {MOST_PARAMETERS:.0e}"


def _check_steps(key: str, model: Model) -> Iterator[str]:
    steps = model.steps
    single = isinstance(model, StoredModel) and "{step}" not in model.place
    if single and len(steps) > 1:
        yield (
            f"{key}.steps: {list(steps)} are {len(steps)} steps, but without {{step}} in its {model.where},"
            f" {model.place!r}, the model is one checkpoint"
        )
    if single and not model.has_step(steps[0]):
        yield f"{key}.{model.where}: {model.place!r} is not a folder"
        return
    missing = [step for step in steps if not model.has_step(step)]
    for step in missing:
        yield f"{key}.steps: the model has no checkpoint of step {step}{model.known_steps()}"
    if model.window is None:
        return
    first, last = model.window
    if first > last:
        yield f"{key}.window: [{first}, {last}] is reversed; first the earlier step, then the later"
        return
    inside = [step for step in steps if first <= step <= last]
    if len(inside) < LEAST_IN_WINDOW:
        yield (
            f"{key}.window: [{first}, {last}] holds {len(inside)} of the model's steps;"
            f" a regression needs {LEAST_IN_WINDOW}"
        )


def _check_constraint(key: str, constraint: Constraint, schemes: Schemes) -> Iterator[str]:
    present = schemes.present()
    if constraint.scheme not in present:
        yield f"{key}.scheme: {constraint.scheme!r} is not one of {', '.join(present)}"
        return
    scheme = present[constraint.scheme]
    if constraint.variant not in scheme.variants:
        yield f"{key}.variant: {constraint.variant!r} is not one of {', '.join(scheme.variants)}"
        return
    variant = scheme.variants[constraint.variant]
    if variant.tuned:
        yield f"{key}.variant: {constraint.variant!r} chooses m by the loss, and training cannot; take range maximum"
    if list(variant.calibrated("")):
        yield (
            f"{key}.variant: {constraint.variant!r} needs calibration blocks, and training has none;"
            " take a variant that looks at weights alone"
        )
    if constraint.level not in scheme.scheme.levels:
        yield f"{key}.level: {constraint.level}; {scheme.scheme.levels.meaning}"
