"""Section ``population``: independently trained models that differ in chosen factors, generated from a template.

Base points fill the space of the factors, neighbours differ from a base point in one factor alone, replicates in their
seed alone. Of every run, branches are studied that begin where its loss on the evaluation blocks first falls to fixed
values: as it is there, and after the learning rate has decayed from there; of base points an average of weights too.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations
from random import Random
from typing import Annotated, Any

from pydantic import Field, Strict, ValidationError, model_validator

from smdl.analysis.population.settings import Expectations
from smdl.settings.base import AS_NUMBER, Count, Distinct, Integer, Number, Positive, Section, Text
from smdl.sources.branch import Branch
from smdl.sources.registry import SOURCES

TRIES = 50
"""Designs that are drawn; the one whose closest points are farthest apart is taken."""
Trained = SOURCES["train"]
STABLE, DECAYED, AVERAGED = "stable", "decayed", "averaged"
BASE, NEIGHBOUR, REPLICATE = "base", "neighbour", "replicate"
AGAIN = "again"


# Part of the names of models, after the name of a base point.
FactorName = Annotated[str, Strict(), Field(max_length=40, pattern=r"^[A-Za-z0-9][A-Za-z0-9_]*$")]


class Factor(Section):
    """What differs between the runs."""

    key: Text = Field(
        description="Key below the template, such as training.lr; without a template a covariate of the models."
    )
    values: Annotated[tuple[Number | Text, ...], Distinct] = Field(min_length=2, description="Its values, in order.")


class Design(Section):
    """How many runs there are, and where they lie."""

    points: Integer = Field(ge=2, le=10_000, description="Base points, which fill the space of the factors.")
    neighbours: Integer = Field(2, ge=0, description="Runs a base point that differ from it in one factor alone.")
    replicates: Integer = Field(0, ge=0, description="Base points that are trained again with another seed.")
    seed: Count = Field(0, description="Seed of the design; the seeds of the runs follow from it.")


class Tail(Section):
    """An average of weights beyond a target."""

    length: Number = Field(gt=0, le=100, description="Its steps, as a fraction of those of the run up to the target.")
    weights: Integer = Field(5, ge=2, le=1000, description="Evenly spaced weights of which it is the mean.")


class Population(Section):
    """Models that are trained to differ in chosen factors, and what is expected of them; without a template, the models
    of the config with their covariates."""

    template: Trained | None = Field(
        None, description="A model as under models, with source train and without steps; the factors vary it."
    )
    factors: dict[FactorName, Factor] = Field(
        default_factory=dict,
        description="The factors, by name; in another order they give another design.",
    )
    design: Design | None = None
    targets: Annotated[tuple[Positive, ...], Distinct] = Field(
        (), description="Losses on the evaluation blocks (nats) at which every run is branched off."
    )
    stable: Annotated[tuple[Positive, ...], Distinct] = Field(
        (), description="Those of them at which the run is studied as it is, before the decay, too."
    )
    decay: Annotated[float, Field(gt=0, le=100), AS_NUMBER] = Field(
        0.2, description="Steps over which the learning rate decays to zero, as a fraction of those up to the target."
    )
    average: Tail | None = None
    expectations: Expectations

    @model_validator(mode="before")
    @classmethod
    def _without_steps(cls, raw: Any) -> Any:
        """The steps of the template are those at which the runs reach the targets."""
        template = raw.get("template") if isinstance(raw, dict) else None
        return {**raw, "template": {**template, "steps": []}} if isinstance(template, dict) else raw

    def conflicts(self, key: str) -> Iterator[str]:
        """Problems that no single key shows, one line each."""
        if self.template is None:
            return
        if self.design is None or not self.factors or not self.targets:
            yield f"{key}: a template needs factors, a design and targets"
            return
        if self.design.neighbours > len(self.factors):
            yield f"{key}.design.neighbours: {self.design.neighbours} of {len(self.factors)} factors"
        if self.design.replicates > self.design.points:
            yield f"{key}.design.replicates: {self.design.replicates} of {self.design.points} points"
        for target in self.stable:
            if target not in self.targets:
                yield f"{key}.stable: {target:g} is not one of the targets, {list(self.targets)}"
        if AGAIN in self.factors:
            yield f"{key}.factors.{AGAIN}: replicates have that name; take another"
        for name, factor in self.factors.items():
            if factor.key == "training.seed":
                yield f"{key}.factors.{name}.key: the design gives every run its seed; see {key}.design.replicates"
            if not _has(self.template, factor.key.split(".")):
                yield f"{key}.factors.{name}.key: the template has no key {factor.key!r}; give one such as training.lr"


def _has(section: Any, keys: list[str]) -> bool:
    for key in keys:
        if not isinstance(section, Section) or key not in type(section).model_fields:
            return False
        section = getattr(section, key)
    return True


def generate(population: Population, template: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The models of a population as plain values, by name, and the rows of the table ``design``.

    ``template`` holds the plain values of the population's.
    """
    models, rows = {}, []
    for run in _runs(population):
        name = run["run"]
        models[name] = _trained(population, template, run)
        for stage, target, branch in _branches(population, run["kind"]):
            own = f"{name}-{stage}-{float(target)}"
            models[own] = {**_common(template), "source": "branch", "of": name, "at": {"loss": target}, **branch}
            place = {key: run[key] for key in ("run", "point", "kind", "factor")}
            rows.append({"model": own, **place, "stage": stage, "target": target})
    return models, rows


def _common(template: Mapping[str, Any]) -> dict[str, Any]:
    """What branches have of the template: what is no part of training."""
    return {
        key: value for key, value in template.items() if key in Branch.model_fields and key not in ("source", "steps")
    }


def _trained(population: Population, template: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    model = {**template, "steps": [], "keep": {**template.get("keep", {}), "losses": list(population.targets)}}
    for name, value in run["values"].items():
        _set(model, population.factors[name].key.split("."), value)
    _set(model, ["training", "seed"], run["seed"])
    return {**model, "covariates": {**template.get("covariates", {}), **run["values"]}}


def _set(values: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        values[key] = dict(values.get(key, {}))
        values = values[key]
    values[keys[-1]] = value


def _branches(population: Population, kind: str) -> Iterator[tuple[str, float, dict[str, Any]]]:
    for target in population.targets:
        if target in population.stable:
            yield STABLE, target, {}
        yield DECAYED, target, {"length": population.decay}
    if population.average and kind == BASE:
        tail = {"tail": "average", "length": population.average.length, "averaged": population.average.weights}
        yield AVERAGED, min(population.targets), tail


def _runs(population: Population) -> Iterator[dict[str, Any]]:
    """Name, point, kind, factor, values and seed of every run; a neighbour has its base point's seed."""
    design, factors = population.design, population.factors
    random = Random(design.seed)
    names = list(factors)
    digits = len(str(design.points))
    for place, levels in enumerate(
        _space_filling([len(its.values) for its in factors.values()], design.points, random)
    ):
        point = f"run{place + 1:0{digits}}"
        seed = 1000 * design.seed + place
        base = dict(zip(names, levels, strict=True))
        common = {"point": point, "seed": seed}
        yield {"run": point, **common, "kind": BASE, "factor": "", "values": _values(factors, base)}
        for j in range(design.neighbours):
            # In turn, so that every factor has as many neighbours as every other.
            name = names[(place * design.neighbours + j) % len(names)]
            other = random.choice([level for level in range(len(factors[name].values)) if level != base[name]])
            values = _values(factors, {**base, name: other})
            yield {"run": f"{point}-{name}", **common, "kind": NEIGHBOUR, "factor": name, "values": values}
        if place < design.replicates:
            again = {"point": point, "seed": seed + 500_000_000, "kind": REPLICATE, "factor": ""}
            yield {"run": f"{point}-{AGAIN}", **again, "values": _values(factors, base)}


def _values(factors: Mapping[str, Factor], levels: Mapping[str, int]) -> dict[str, float | str]:
    return {name: factors[name].values[level] for name, level in levels.items()}


def _space_filling(levels: list[int], points: int, random: Random) -> list[tuple[int, ...]]:
    """Points of a maximin Latin hypercube: every level of a factor as often as the others, no two points too close."""
    best, farthest = [], (-1.0, 0.0)
    for _ in range(TRIES):
        columns = []
        for count in levels:
            column = [level % count for level in range(points)]
            random.shuffle(column)
            columns.append(column)
        drawn = list(zip(*columns, strict=True))
        distances = [
            sum(abs(a - b) / (count - 1) for a, b, count in zip(*pair, levels, strict=True))
            for pair in combinations(drawn, 2)
        ]
        # Of designs whose closest points are equally far apart, the one with fewer of them.
        found = (min(distances), -distances.count(min(distances)))
        if found > farthest:
            best, farthest = drawn, found
    return best


def listed(covariates: Mapping[str, Mapping[str, Any]], factors: Mapping[str, Factor]) -> list[dict[str, Any]]:
    """The rows of the table ``design`` for models of the config, each a run of its own, with their ``covariates``.

    Models that agree in all factors are one base point and its replicates.
    """
    points: dict[tuple, str] = {}
    rows = []
    for model, own in covariates.items():
        point = points.setdefault(tuple(own.get(factor.key) for factor in factors.values()), model)
        kind = BASE if point == model else REPLICATE
        place = {"run": model, "point": point, "kind": kind, "factor": "", "stage": STABLE, "target": None}
        rows.append({"model": model, **place})
    return rows


def read(raw: Any) -> Population | None:
    """The section of a raw config; None where there is none, or where it is not right, as its own checks will say."""
    try:
        found = Population.model_validate(raw)
    except ValidationError:
        return None
    return None if list(found.conflicts("population")) else found
