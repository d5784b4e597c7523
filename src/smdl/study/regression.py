"""Section ``regression``: critical levels against the LLC."""

from typing import Annotated, Literal

from pydantic import Field

from smdl.settings.base import Distinct, Section

Status = Literal["ok", "too noisy", "drifting", "not mixed", "negative", "diverged"]


class Regression(Section):
    """Critical levels against the LLC."""

    admit: Annotated[tuple[Status, ...], Distinct] = Field(
        ("ok",),
        min_length=1,
        description="Statuses of an LLC estimate with which a checkpoint enters a regression.",
    )
