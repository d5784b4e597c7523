"""Sections ``disk`` and ``gpu``: what the machines have room for."""

from pydantic import Field

from smdl.settings.base import Integer, Positive, Section


class Disk(Section):
    """Bounds on what lies on disk at once."""

    window: Integer = Field(2, ge=1, description="Downloaded checkpoints of a model that may lie on disk at once.")


class Gpu(Section):
    """The GPUs that jobs get, one each."""

    memory: Positive | None = Field(
        None,
        description="Memory of one (GB). A study with a job that is expected to need more is refused; None: none is.",
    )
