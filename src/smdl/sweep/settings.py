"""Section ``sweep``: sampler settings over a grid, target sweep."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import Field

from smdl.llc.settings import BATCH_SIZE, BETWEEN, DRAWS, Grid
from smdl.settings.base import AS_INTEGER, Count, Distinct, FromOne, Integer, Section, section
from smdl.sources.source import ModelName, Source

MOST_SETTINGS = 10_000


class SweepSampler(Section):
    """Settings that the sweep has for itself; those left out are the model's own."""

    batch_size: FromOne | None = Field(None, description=BATCH_SIZE)
    burn_in: Count | None = Field(None, description="Steps left out at a chain's start.")
    draws: Annotated[int, Field(ge=4, le=10**7), AS_INTEGER] | None = Field(None, description=DRAWS)
    steps_between_draws: FromOne | None = Field(None, description=BETWEEN)


class Sweep(Section):
    """Sampler settings over a grid (ranges of arXiv:2510.12077's authors); target sweep."""

    checkpoints: dict[ModelName, Annotated[tuple[Count, ...], Field(min_length=1), Distinct]] = Field(
        default_factory=dict,
        description="Steps of each model to sweep, as {model: [steps]}; empty for all of the study.",
    )
    chains: Integer = Field(4, ge=2, le=1000, description="Chains a setting.")
    grid: Grid = section()
    sampler: SweepSampler = section()


def check_sweep(sweep: Sweep, models: Mapping[str, Source]) -> Iterator[str]:
    """The sweep takes checkpoints that the study has, and not more settings than anybody can wait for."""
    for name, steps in sweep.checkpoints.items():
        key = f"sweep.checkpoints.{name}"
        if name not in models:
            near = difflib.get_close_matches(name, models, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(models)}"
            yield f"{key}: no model of this study; {hint}"
            continue
        for step in steps:
            if step not in models[name].steps:
                yield f"{key}: {step} is not one of models.{name}.steps, {', '.join(map(str, models[name].steps))}"
    settings = len(sweep.grid.lr) * len(sweep.grid.n_beta) * len(sweep.grid.gamma)
    if settings > MOST_SETTINGS:
        yield f"sweep.grid: that would be {settings} settings; at most {MOST_SETTINGS}"
