"""The source ``train``: small GPT-NeoX models, trained on the spot."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from smdl.compression.settings import Schemes
from smdl.corpus.settings import CorpusText
from smdl.models.shape import Shape
from smdl.settings.base import Count, Distinct, Integer, Name, Number, Positive, Section
from smdl.settings.config import plain
from smdl.sources.source import Making, Source, Task
from smdl.tables.study import TRAINING

MOST_PARAMETERS = 10**11


class Architecture(Section):
    """(train) Shape of the GPT-NeoX model."""

    layers: Integer = Field(ge=1, le=1000, description="Number of layers.")
    hidden: Integer = Field(ge=2, le=65536, description="Width of the residual stream.")
    heads: Integer = Field(ge=1, description="Attention heads; they divide hidden.")


class Training(Section):
    """(train) AdamW and a linear warm-up, by default with cosine decay to a tenth."""

    steps: Integer = Field(ge=1, le=10**9, description="Length of the learning-rate schedule (steps).")
    batch_size: Integer = Field(ge=1, le=10**6, description="Token blocks per step.")
    lr: Number = Field(gt=0, description="Peak learning rate.")
    warmup: Integer = Field(0, ge=0, description="Steps of linear warm-up.")
    weight_decay: Number = Field(0.01, ge=0, description="AdamW's decoupled weight decay.")
    schedule: Literal["cosine", "constant"] = Field(
        "cosine", description="After the warm-up the learning rate decays to a tenth of its peak, or stays there."
    )
    seed: Count | None = Field(
        None, description="Seed of the first weights, the order of the blocks and all noise; the study's if left out."
    )
    init_scale: Number = Field(1.0, gt=0, le=100, description="Factor on the weights of all matrices at the start.")
    dropout: Number = Field(0.0, ge=0, lt=1, description="Dropout in attention, after it and after the MLP.")
    label_noise: Number = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the tokens that are to be predicted which are replaced by random ones, once for all.",
    )
    unique_share: Number = Field(
        1.0, gt=0, le=1, description="Share of the training blocks that are used, and repeated the more often."
    )


# Beside a run's checkpoints: its kept states, and how it was trained.
KEPT, RECIPE = "kept", "recipe.json"


def kept_at(step: int | None = None, loss: float | None = None) -> str:
    """The file of a state that is kept of a run, in the folder ``KEPT``."""
    return f"step{step}.pt" if loss is None else f"loss{float(loss)}.pt"


class Keep(Section):
    """(train) States of the run that are kept whole, for branches that go on from there (source: branch)."""

    losses: Annotated[tuple[Positive, ...], Distinct] = Field(
        (),
        description="Losses on the evaluation blocks (nats) at which the state is kept, where the run first falls to"
        " them; training ends when all are reached and all steps saved.",
    )
    steps: Annotated[tuple[Count, ...], Distinct] = Field((), description="Steps at which the state is kept.")
    every: Integer = Field(
        20, ge=1, description="Steps from one look at the loss on the evaluation blocks to the next."
    )


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

    def conflicts(self, key: str, schemes: Schemes) -> Iterator[str]:
        """The variant is one of the study's, and can be put on weights in training."""
        present = schemes.present()
        if self.scheme not in present:
            yield f"{key}.scheme: {self.scheme!r} is not one of {', '.join(present)}"
            return
        scheme = present[self.scheme]
        if self.variant not in scheme.variants:
            yield f"{key}.variant: {self.variant!r} is not one of {', '.join(scheme.variants)}"
            return
        variant = scheme.variants[self.variant]
        if variant.tuned:
            yield f"{key}.variant: {self.variant!r} chooses m by the loss, and training cannot; take range maximum"
        if list(variant.calibrated("")):
            yield (
                f"{key}.variant: {self.variant!r} needs calibration blocks, and training has none;"
                " take a variant that looks at weights alone"
            )
        if self.level not in scheme.scheme.levels:
            yield f"{key}.level: {self.level}; {scheme.scheme.levels.meaning}"


class Imposed(Section):
    """A constraint with the settings of the variant that it names."""

    scheme: Name
    variant: dict[str, Any]
    level: Number
    mode: Literal["projection", "straight-through"]
    every: Integer


class Recipe(Section):
    """What decides a training."""

    architecture: Architecture
    training: Training
    steps: tuple[Count, ...]
    keep: Keep | None = None
    constraint: Imposed | None = None


class Train(Source):
    """Trained on the spot."""

    making = Making(
        rule="train",
        folder="trained/{model}",
        version=1,
        reads=("corpus",),
        tables=(TRAINING,),
        settings=Recipe,
        copies=6,
        runs_model=True,
    )

    steps: Annotated[tuple[Count, ...], Distinct] = Field(
        max_length=10_000, description=f"{Source.model_fields['steps'].description} None where states are kept."
    )
    architecture: Architecture
    training: Training
    keep: Keep | None = None
    constraint: Constraint | None = None

    def size(self, vocabulary: int) -> int:
        """Number of weights: as the config says, or counted from the shape."""
        shape = self.architecture
        return self.parameters or 12 * shape.layers * shape.hidden**2 + 2 * vocabulary * shape.hidden

    def shape(self, vocabulary: int) -> Shape:
        """As the config says."""
        return Shape(self.size(vocabulary), self.architecture.hidden, self.architecture.layers, vocabulary)

    @property
    def training_blocks(self) -> int:
        """One batch, of the share that is used."""
        return math.ceil(self.training.batch_size / self.training.unique_share)

    def made_with(self, step: int, context: int, seed: int) -> dict[str, float | str]:
        """Shape and training, and how far it has come at the step."""
        from smdl.sources.schedule import learning_rate

        training = {name: value for name, value in plain(self.training).items() if name != "steps"}
        far = {
            "learning_rate": float(learning_rate(step, self.training)),
            "steps": step,
            "tokens": step * self.training.batch_size * context,
        }
        return {**plain(self.architecture), "seed": seed, **training, **far, **super().made_with(step, context, seed)}

    def tokens(self, context: int, origin: None = None) -> int:
        """Tokens of all steps."""
        return self.training.steps * self.training.batch_size * context

    def decides(self, step: None, schemes: Schemes) -> Recipe:
        """Shape, schedule, the steps that are kept, and the constraint with its variant's settings."""
        imposed = None
        if named := self.constraint:
            variant = schemes.present()[named.scheme].variants[named.variant]
            imposed = Imposed(**{**dict(named), "variant": plain(variant)})
        return Recipe(
            architecture=self.architecture,
            training=self.training,
            steps=self.steps,
            keep=self.keep,
            constraint=imposed,
        )

    @classmethod
    def make(cls, settings: Recipe, task: Task) -> Mapping[str, list[dict]]:
        """Train the model and keep its checkpoints; the loss of each on the training blocks."""
        from smdl.corpus.blocks import load_split, read_splits
        from smdl.foundation.files import replacing_folder
        from smdl.sources.training import Keeper, started, train

        run = started(settings, task.inputs, task.seed)
        with replacing_folder(str(task.folder)) as folder:
            keeper = None
            if settings.keep:
                evaluation = load_split(task.inputs["blocks"], read_splits(task.inputs["splits"]), "evaluation")
                keeper = Keeper(settings.keep, evaluation, Path(folder) / KEPT)
                seeded = settings.training.model_copy(update={"seed": run.seed})
                recipe = settings.model_copy(update={"training": seeded})
                (Path(folder) / KEPT / RECIPE).write_text(recipe.model_dump_json(exclude_none=True))
            losses = list(train(run, settings.steps, Path(folder), keeper))
        return {TRAINING.name: [{"model": task.model, "step": step, "loss": loss} for step, loss in losses]}

    def has_step(self, step: int) -> bool:
        """Whether training gets there."""
        return step <= self.training.steps

    def known_steps(self) -> str:
        """Where training ends."""
        return f"; its training ends at step {self.training.steps}"

    def conflicts(self, key: str, corpus: CorpusText, schemes: Schemes) -> Iterator[str]:
        """As of every source; and the shape can be trained, under its constraint."""
        shape = self.architecture
        if shape.hidden % shape.heads:
            yield f"{key}.architecture.heads: {shape.heads} does not divide hidden, {shape.hidden}"
        weights = 12 * shape.layers * shape.hidden**2
        if weights > MOST_PARAMETERS:
            yield (
                f"{key}.architecture: {weights:.1e} weights are more than can be trained here;"
                f" at most {MOST_PARAMETERS:.0e}"
            )
        if not self.steps and not self.keep:
            yield f"{key}.steps: no step, and nothing under {key}.keep; give the steps of the checkpoints to study"
        if self.keep:
            for step in self.keep.steps:
                if not self.has_step(step):
                    yield f"{key}.keep.steps: {step} is not reached{self.known_steps()}"
        if self.constraint:
            yield from self.constraint.conflicts(f"{key}.constraint", schemes)
        yield from super().conflicts(key, corpus, schemes)
