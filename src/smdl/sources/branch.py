"""The source ``branch``: what becomes of a run that the study trains, from a state that was kept of it on."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from smdl.compression.settings import Schemes
from smdl.settings.base import Count, Integer, Number, Positive, Section
from smdl.sources.source import Making, ModelName, Source, Task
from smdl.sources.train import KEPT, RECIPE, Keep, Recipe, Train, kept_at
from smdl.tables.study import COVARIATES, TRAINING

MOST_AVERAGED = 1000
TRAINING_BLOCKS = 256
"""Blocks of those that it is trained on, over which a branch's covariate training_loss is taken."""


class At(Section):
    """(branch) The state of the run from which the branch goes on: one of those that the run keeps."""

    loss: Positive | None = Field(None, description="Loss on the evaluation blocks (nats) that it was kept for.")
    step: Count | None = Field(None, description="Step that it was kept at.")


class Going(Section):
    """What decides a branch beside its run."""

    at: At
    length: Number
    tail: Literal["decay", "average"]
    averaged: Integer


class Branch(Source):
    """A branch of a trained run."""

    model_config = ConfigDict(json_schema_extra=lambda schema: schema["required"].remove("steps"))
    making = Making(
        rule="branch",
        folder="branched/{model}",
        version=1,
        reads=("corpus", "run"),
        tables=(TRAINING, COVARIATES),
        settings=Going,
        copies=6,
        runs_model=True,
    )

    of: ModelName = Field(description="(branch) Model of source train that it is a branch of.")
    at: At
    length: Number = Field(
        0,
        ge=0,
        le=100,
        description="(branch) Its steps, as a fraction of those of the run up to there; 0: the run's weights there.",
    )
    tail: Literal["decay", "average"] = Field(
        "decay",
        description="(branch) decay - the learning rate falls linearly to zero; average - it goes on as it was, and the"
        " checkpoint is the mean of weights along the branch.",
    )
    averaged: Integer = Field(
        5, ge=1, le=MOST_AVERAGED, description="(branch) Evenly spaced weights of which an average is the mean."
    )

    @model_validator(mode="before")
    @classmethod
    def _one_checkpoint(cls, raw: Any) -> Any:
        """A branch is one checkpoint, and its step need not be given."""
        return {**raw, "steps": [0]} if isinstance(raw, dict) and "steps" not in raw else raw

    @property
    def origin(self) -> str:
        """The run."""
        return self.of

    def tokens(self, context: int, origin: Source | None = None) -> int:
        """Those of its fraction of the whole run."""
        return math.ceil(self.length * origin.tokens(context)) if origin else 0

    def decides(self, step: None, schemes: Schemes) -> Going:
        """Where it begins, and how it goes on."""
        return Going(at=self.at, length=self.length, tail=self.tail, averaged=self.averaged)

    @classmethod
    def make(cls, settings: Going, task: Task) -> Mapping[str, list[dict]]:
        """Take the run up where it was kept, and go on; the losses on the way, and how the branch came about."""
        import torch

        from smdl.foundation.files import replacing_folder
        from smdl.sources.schedule import learning_rate
        from smdl.sources.training import average, decay, started

        kept = Path(task.inputs["run"]) / KEPT
        recipe = Recipe(**json.loads((kept / RECIPE).read_text()))
        state = torch.load(kept / kept_at(settings.at.step, settings.at.loss), weights_only=True)
        run = started(recipe, task.inputs, task.seed)
        run.restore(state)
        first = run.step
        length = math.ceil(settings.length * first)
        losses = decay(run, length) if settings.tail == "decay" else average(run, length, settings.averaged)
        with replacing_folder(str(task.folder)) as folder:
            run.model.save_pretrained(Path(folder) / "step0")
        told = {
            "training_loss": run.evaluate(run.blocks[:TRAINING_BLOCKS]),
            "reached": float(state["reached"]),
            "branched_at": first,
            "learning_rate": 0.0 if settings.tail == "decay" and length else learning_rate(run.step, run.settings),
            "steps": run.step,
            "tokens": run.step * recipe.training.batch_size * run.blocks.shape[1],
        }
        return {
            TRAINING.name: [{"model": task.model, "step": first + i, "loss": loss} for i, loss in enumerate(losses)],
            COVARIATES.name: [
                {"model": task.model, "step": 0, "covariate": name, "value": value, "text": ""}
                for name, value in told.items()
            ],
        }

    def has_step(self, step: int) -> bool:
        """A branch is one checkpoint."""
        return step == 0

    def known_steps(self) -> str:
        """What its step is called."""
        return "; a branch is one checkpoint, [0]"

    def made_with(self, step: int, context: int, seed: int) -> dict[str, float | str]:
        """Which run it is a branch of, and how it goes on."""
        own = {"branch_of": self.of, "tail": self.tail, "length": self.length}
        return {**own, **super().made_with(step, context, seed)}

    def origin_conflicts(self, key: str, models: Mapping[str, Source]) -> Iterator[str]:
        """The run is there, and keeps the state."""
        if (self.at.loss is None) == (self.at.step is None):
            yield f"{key}.at: give loss or step, one of both"
            return
        run = models.get(self.of)
        if not isinstance(run, Train):
            trained = ", ".join(name for name, model in models.items() if isinstance(model, Train))
            yield f"{key}.of: {self.of!r} is no model of source train; there are {trained or 'none'}"
            return
        if run.constraint:
            yield f"{key}.of: {self.of!r} is trained under a constraint, and has no branches"
        kept = run.keep or Keep()
        if self.at.loss is not None and self.at.loss not in kept.losses:
            yield f"{key}.at.loss: {self.at.loss:g} is not one of models.{self.of}.keep.losses, {list(kept.losses)}"
        if self.at.step is not None and self.at.step not in kept.steps:
            yield f"{key}.at.step: {self.at.step} is not one of models.{self.of}.keep.steps, {list(kept.steps)}"
