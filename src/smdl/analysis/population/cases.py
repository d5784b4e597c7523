"""A case: one predictor beside one outcome at one stage, with all that is held fixed, as arrays."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from smdl.analysis.population.observations import Population
from smdl.analysis.population.settings import CONTROL, Expectations
from smdl.tables.study import CHECKPOINT

FEWEST = 12
"""With fewer checkpoints there are no statistics."""


@dataclass(frozen=True)
class Case:
    """The ``n`` checkpoints that have predictor, outcome and rivals; all arrays are (n,) or (n, rivals).

    ``errors`` holds standard errors by column: 0 the predictor, 1 and on the rivals. ``levels`` numbers the level of
    each checkpoint in every factor.
    """

    predictor: str
    stage: str
    family: str
    outcome: str
    rivals: list[str]
    rows: pd.DataFrame
    x: np.ndarray
    given: np.ndarray
    errors: dict[int, np.ndarray]
    levels: dict[str, np.ndarray]

    @property
    def key(self) -> dict[str, str]:
        """What tells the case apart in the tables."""
        return {name: getattr(self, name) for name in ("predictor", "stage", "family", "outcome")}

    @property
    def y(self) -> np.ndarray:
        """The outcome."""
        return self.column("incompressibility")

    def column(self, name: str) -> np.ndarray:
        """A column of the observations."""
        return self.rows[name].to_numpy()


def cases(population: Population, expectations: Expectations, stage: str) -> Iterator[Case]:
    """All cases of a stage at the expectations' tolerance: every predictor with every outcome."""
    observed = population.rows[
        (population.rows["stage"] == stage) & np.isclose(population.rows["epsilon"], expectations.epsilon)
    ]
    for (family, scheme, variant), rows in observed.groupby(["family", "scheme", "variant"], sort=False):
        places = pd.MultiIndex.from_frame(rows[CHECKPOINT])
        values, errors, levels = (
            table.reindex(places) for table in (population.predictors, population.errors, population.levels)
        )
        for predictor in [name for name in expectations.predictors if name in values]:
            rivals = rivals_of(predictor, expectations, values.columns)
            kept = np.isfinite(values[[predictor, *rivals]]).all(axis=1).to_numpy()
            if kept.sum() < FEWEST or values.loc[kept, predictor].nunique() < 2:
                continue
            own = [predictor, *rivals]
            yield Case(
                predictor,
                stage,
                family,
                f"{scheme}/{variant}",
                rivals,
                rows[kept].reset_index(drop=True),
                values.loc[kept, predictor].to_numpy(float),
                values.loc[kept, rivals].to_numpy(float),
                {i: errors.loc[kept, name].to_numpy(float) for i, name in enumerate(own) if name in errors},
                {name: levels.loc[kept, name].to_numpy(int) for name in levels if levels.loc[kept, name].notna().all()},
            )


def rivals_of(predictor: str, expectations: Expectations, known: pd.Index) -> list[str]:
    """What is held fixed for a predictor: the expectations' rivals but itself; one that was not measured is left out.

    The control is that of the predictor's own setting of the sampler, where it has one.
    """
    named = [control_beside(predictor, expectations) if name == CONTROL else name for name in expectations.given]
    return [name for name in named if name != predictor and name in known]


def control_beside(predictor: str, expectations: Expectations) -> str:
    """The control at the setting that a predictor names in brackets, or at the expectations' setting."""
    _, bracket, setting = predictor.rpartition(" (")
    of_sampler = bracket and predictor.startswith("llc")
    return f"llc control ({setting.removesuffix(')') if of_sampler else expectations.setting})"
