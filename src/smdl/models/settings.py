"""Section ``audit``: what is found wrong with the weights of a checkpoint, and what follows."""

from typing import Literal

from pydantic import Field

from smdl.settings.base import Number, Section, section


class Limits(Section):
    """What is still taken for chance."""

    shared: Number = Field(
        0.001, ge=0, lt=1, description="Fraction of the weights that may equal another checkpoint's."
    )
    rise: Number = Field(0.05, ge=0, description="Rise of the loss from a checkpoint to a later one (nats).")
    z: Number = Field(3, ge=0, description="Standard errors allowed on top of that rise.")


class Audit(Section):
    """What is found wrong with the weights of a checkpoint, and what follows."""

    action: Literal["exclude", "stop"] = Field(
        "exclude",
        description="exclude - the checkpoint is left out of every regression, visibly; stop - the study ends.",
    )
    limits: Limits = section()
