"""What the sources have in common whose checkpoints are there already, one per step or one alone."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pydantic import ConfigDict, Field, model_validator

from smdl.models.shape import Shape
from smdl.settings.base import Count, Folder, FromOne
from smdl.sources.source import Source


def label_of(labels: Mapping[str, int], step: int) -> str | None:
    """The label of the checkpoint that stands for ``step``; None where a training step wrote it."""
    return next((label for label, own in labels.items() if own == step), None)


class Stored(Source):
    """A source whose checkpoints are there already; where their place has no {step} there is one."""

    model_config = ConfigDict(json_schema_extra=lambda schema: schema["required"].remove("steps"))

    where: ClassVar[str]
    """The key that says where a checkpoint is."""

    vocabulary: FromOne | None = Field(
        None,
        description="Tokens that the model knows, for the memory that is asked for; without it Pythia's 50304, or 256"
        " of a text in bytes.",
    )
    labels: dict[Folder, Count] = Field(
        default_factory=dict,
        description="Checkpoints that no training step wrote, such as an average of checkpoints: the branch (hub) or"
        " folder (local) that holds each, and the one of steps, of your choice, that it stands for.",
    )

    @model_validator(mode="before")
    @classmethod
    def _one_checkpoint(cls, raw: Any) -> Any:
        """The step of a single checkpoint need not be given."""
        if not isinstance(raw, dict) or "steps" in raw or "{step}" in str(raw.get(cls.where, "{step}")):
            return raw
        return {**raw, "steps": [0]}

    @property
    def place(self) -> str:
        """Where the checkpoints are."""
        return getattr(self, self.where)

    def place_of(self, step: int) -> str:
        """Where the checkpoint of ``step`` is."""
        return label_of(self.labels, step) or self.place.replace("{step}", str(step))

    def shape(self, vocabulary: int) -> Shape:
        """As of every source, with the model's own vocabulary where that is known."""
        return super().shape(self.vocabulary or vocabulary)

    def made_with(self, step: int, context: int, seed: int) -> dict[str, float | str]:
        """As of every source; and the label of a checkpoint that no training step wrote."""
        label = label_of(self.labels, step)
        return {**({"label": label} if label else {}), **super().made_with(step, context, seed)}

    def missing_steps(self, key: str) -> Iterator[str]:
        """Steps of which there is no checkpoint, and steps of what is one checkpoint, one line each."""
        for label, step in self.labels.items():
            if step not in self.steps:
                yield f"{key}.labels.{label}: {step} is not one of {key}.steps, {list(self.steps)}"
            elif label != label_of(self.labels, step):
                yield f"{key}.labels.{label}: {step} is the step of {label_of(self.labels, step)!r}"
        if "{step}" in self.place:
            yield from super().missing_steps(key)
            return
        if len(self.steps) > 1:
            yield (
                f"{key}.steps: {list(self.steps)} are {len(self.steps)} steps, but without {{step}} in its"
                f" {self.where}, {self.place!r}, the model is one checkpoint"
            )
        if not self.has_step(self.steps[0]):
            yield f"{key}.{self.where}: {self.place!r} is not a folder"
