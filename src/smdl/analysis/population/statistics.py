"""The tables of a population's statistics, from its cases."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from smdl.analysis.population.cases import Case, cases
from smdl.analysis.population.granulated import granulated
from smdl.analysis.population.information import information
from smdl.analysis.population.observations import Population
from smdl.analysis.population.pairs import coupled
from smdl.analysis.population.partial import partial, permutation_p
from smdl.analysis.population.regression import left_out_levels, mixed, slope_with_errors
from smdl.analysis.population.reliability import reliability
from smdl.analysis.population.resampling import Clusters, exchanges, summary
from smdl.analysis.population.settings import Expectations
from smdl.tables import Table, empty
from smdl.tables.population import (
    ASSOCIATIONS,
    FACTORS,
    INFORMATION,
    PREDICTIONS,
    RELIABILITY,
    SLOPES,
)
from smdl.tables.study import CHECKPOINT

STAGES = ("decayed", "stable", "averaged")
ALL_FACTORS = ""
EXCHANGES_FOR_CHANCE = 5
OF_FAMILY = ["predictor", "stage", "family"]
COUNTS = ("n", "runs", "pairs", "groups", "levels")

Draws = Mapping[str, np.ndarray]
Told = tuple[dict[str, Any], Draws]


class Statistics:
    """The statistics of a population against its expectations; the same seed gives the same numbers."""

    def __init__(self, population: Population, expectations: Expectations, seed: int):
        self.population = population
        self.expectations = expectations
        self.seed = seed
        rows, resamples = population.rows, expectations.resamples
        self._stages = [stage for stage in STAGES if (rows["stage"] == stage).any()]
        self._cases = [case for stage in self._stages for case in cases(population, expectations, stage)]
        rng = np.random.default_rng(seed)
        self._runs, self._points = (
            {
                stage: Clusters(rows.loc[rows["stage"] == stage, name].to_numpy(), resamples, rng)
                for stage in self._stages
            }
            for name in ("run", "point")
        )

    def associations(self) -> pd.DataFrame:
        """The rows of the table ``associations``."""
        return _table(ASSOCIATIONS, map(self._association, self._cases), OF_FAMILY)

    def factors(self) -> pd.DataFrame:
        """The rows of the table ``factors``."""
        return _table(FACTORS, (told for case in self._cases for told in self._factors(case)), [*OF_FAMILY, "factor"])

    def predictions(self) -> pd.DataFrame:
        """The rows of the table ``predictions``."""
        found = (told for case in self._cases for told in self._predictions(case))
        return _table(PREDICTIONS, found, [*OF_FAMILY, "factor"])

    def information(self) -> pd.DataFrame:
        """The rows of the table ``information``."""
        return _frame(INFORMATION, [self._information(case) for case in self._cases])

    def slopes(self) -> pd.DataFrame:
        """The rows of the table ``slopes``."""
        return _frame(SLOPES, [self._slope(case) for case in self._cases])

    def reliability(self) -> pd.DataFrame:
        """The rows of the table ``reliability``: a row per stage in which some checkpoints have both estimates."""
        names = [f"llc ({setting})" for setting in (self.expectations.setting, self.expectations.repeat)]
        seen = self.population.rows.drop_duplicates(CHECKPOINT)
        if not set(names) <= set(self.population.predictors.columns):
            return empty(RELIABILITY)
        both = self.population.predictors.reindex(pd.MultiIndex.from_frame(seen[CHECKPOINT]))[names]
        rows = []
        for stage in self._stages:
            kept = (seen["stage"] == stage).to_numpy() & np.isfinite(both).all(axis=1).to_numpy()
            if kept.any():
                own, values = seen[kept], both[kept].to_numpy(float)
                weights = self._runs[stage].weights(own["run"].to_numpy())
                found = reliability(*values.T, own["stratum"].to_numpy(), weights)
                counted = {"stage": stage, "n": len(own), "runs": own["run"].nunique()}
                rows.append({**counted, **_summarised({"reliability": found})})
        return _frame(RELIABILITY, rows)

    def _rng(self, case: Case) -> np.random.Generator:
        """Random numbers of a case's own outcome and stage: the predictors' runs are exchanged alike."""
        name = f"{case.stage} {case.outcome}".encode()
        return np.random.default_rng([self.seed, *name])

    def _orders(self, case: Case, count: int) -> np.ndarray:
        return exchanges(case.column("run"), case.column("stratum"), count, self._rng(case))

    def _association(self, case: Case) -> Told:
        weights = self._runs[case.stage].weights(case.column("run"))
        found = partial(case.x, case.y, case.given, case.column("stratum"), weights)
        orders = self._orders(case, self.expectations.permutations)
        told = {
            **case.key,
            "n": len(case.x),
            "runs": case.rows["run"].nunique(),
            "p": permutation_p(case.x, case.y, case.given, case.column("stratum"), orders),
            "given": ", ".join(case.rivals),
        }
        return told, vars(found)

    def _factors(self, case: Case) -> Iterable[Told]:
        pairs = coupled(case.rows)
        if pairs.empty:
            return
        weights = self._points[case.stage].weights(case.column("point"))
        found = granulated(case.x, case.y, case.column("incompressibility_se").astype(float), pairs, weights)
        for place, factor in enumerate(found.factors):
            counted = {"factor": factor, "pairs": found.pairs[place], "groups": found.groups[place]}
            draws = {"granulated_tau": found.tau[place], "sign_error": found.sign_error[place]}
            yield {**case.key, **counted}, draws
        counted = {"factor": ALL_FACTORS, "pairs": sum(found.pairs), "groups": sum(found.groups)}
        yield {**case.key, **counted}, {"granulated_tau": found.mean_tau, "sign_error": found.worst_sign_error}

    def _predictions(self, case: Case) -> Iterable[Told]:
        weights = self._runs[case.stage].weights(case.column("run"))
        every = []
        for factor, levels in case.levels.items():
            found = left_out_levels(case.x, case.y, case.given, case.column("stratum"), levels, weights)
            if found.levels > 1:
                every.append(found)
                yield _prediction(case, factor, found.levels, found.without, found.with_predictor)
        if every:
            without, with_predictor = (
                np.mean([getattr(found, name) for found in every], axis=0) for name in ("without", "with_predictor")
            )
            yield _prediction(case, ALL_FACTORS, sum(found.levels for found in every), without, with_predictor)

    def _information(self, case: Case) -> dict[str, Any]:
        known = (case.column("stratum"), case.column("run"), case.levels)
        found = information(case.x, case.y, *known)
        chance = [
            information(case.x[order], case.y, *known).value for order in self._orders(case, EXCHANGES_FOR_CHANCE)
        ]
        return {
            **case.key,
            "pairs": found.pairs,
            "information": found.value,
            "chance": float(np.mean(chance)),
            "known": ", ".join(found.given),
        }

    def _slope(self, case: Case) -> dict[str, Any]:
        strata = case.column("stratum")
        weights = self._runs[case.stage].weights(case.column("run"))
        corrected = (
            slope_with_errors(case.x, case.y, case.given, strata, case.errors, weights)
            if 0 in case.errors
            else np.full(len(weights), np.nan)
        )
        fitted = vars(mixed(case.x, case.y, case.given, strata, case.column("point")))
        return {**case.key, "n": len(case.x), **fitted, **_summarised({"slope_with_errors": corrected})}


def _prediction(case: Case, factor: str, levels: int, without: np.ndarray, with_predictor: np.ndarray) -> Told:
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = 1 - with_predictor / without
    errors = {"error_without": float(without[0]), "error_with": float(with_predictor[0])}
    return {**case.key, "factor": factor, "levels": levels, **errors}, {"prediction_gain": gain}


def _table(table: Table, told: Iterable[Told], of_family: list[str]) -> pd.DataFrame:
    """A row per case, and one per family: the mean over its outcomes, draw by draw."""
    rows, families = [], {}
    for key, draws in told:
        rows.append({**key, **_summarised(draws)})
        families.setdefault(tuple(key[name] for name in of_family), []).append((key, draws))
    for members in families.values():
        keys = pd.DataFrame([key for key, _ in members])
        mean = {name: np.mean([draws[name] for _, draws in members], axis=0) for name in members[0][1]}
        numbers = {name: keys[name].mean() for name in ("error_without", "error_with") if name in keys}
        counted = {name: _counted(keys[name], name) for name in COUNTS if name in keys}
        same = {name: keys[name].iloc[0] for name in [*of_family, *(["given"] if "given" in keys else [])]}
        p = {"p": np.nan} if "p" in keys else {}
        rows.append({**same, "outcome": "", **counted, **numbers, **p, **_summarised(mean)})
    return _frame(table, rows)


def _counted(values: pd.Series, name: str) -> int:
    """Pairs and groups of all outcomes; of checkpoints and runs the outcome that has the fewest."""
    return int(values.sum() if name in ("pairs", "groups") else values.min())


def _summarised(draws: Draws) -> dict[str, float]:
    found = {}
    for name, own in draws.items():
        found |= dict(zip((name, f"{name}_low", f"{name}_high"), summary(own), strict=True))
    return found


def _frame(table: Table, rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows)[[column.name for column in table.columns]] if rows else empty(table)
