"""What the sources have in common whose checkpoints are there already, one per step or one alone."""

from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import ConfigDict, model_validator

from smdl.sources.source import Source


class Stored(Source):
    """A source whose checkpoints are there already; where their place has no {step} there is one."""

    model_config = ConfigDict(json_schema_extra=lambda schema: schema["required"].remove("steps"))

    where: ClassVar[str]
    """The key that says where a checkpoint is."""

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

    def missing_steps(self, key: str) -> Iterator[str]:
        """Steps of which there is no checkpoint, and steps of what is one checkpoint, one line each."""
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
