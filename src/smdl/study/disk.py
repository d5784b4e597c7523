"""Section ``disk``: what may lie on disk at once."""

from pydantic import Field

from smdl.settings.base import Integer, Section


class Disk(Section):
    """Bounds on what lies on disk at once."""

    window: Integer = Field(2, ge=1, description="Downloaded checkpoints of a model that may lie on disk at once.")
