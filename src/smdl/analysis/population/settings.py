"""The expectations of a population study: claims written down before it is run, and what would decide them."""

from collections.abc import Collection, Iterator
from typing import Annotated, Literal

from pydantic import Field

from smdl.settings.base import Distinct, FromOne, Integer, Name, Number, Positive, Section, Text

CONTROL = "control"
"""Stands for the sampler's control at the setting of the predictor."""
Stage = Literal["stable", "decayed", "averaged"]
Statistic = Literal["tau", "partial_tau", "granulated_tau", "prediction_gain", "reliability"]


class Condition(Section):
    """What one statistic must be; of several limits, all must hold."""

    statistic: Statistic = Field(description="Column of the tables associations, factors, predictions, reliability.")
    at_least: Number | None = Field(None, description="The value is at least this.")
    low_above: Number | None = Field(None, description="The lower end of its interval is above this.")
    high_below: Number | None = Field(None, description="The upper end of its interval is below this.")
    above: Annotated[tuple[Name, ...], Distinct] = Field(
        (), description="The value is above that of each of these predictors; control: that of the same setting."
    )


class Claim(Section):
    """A claim on one predictor at one stage; it is confirmed, refuted or undecided."""

    says: Text = Field(description="The claim in words.")
    predictor: Name = Field(description="Measure, as in the table measures.")
    stage: Stage = Field(description="Checkpoints that the claim is about.")
    families: Annotated[tuple[Name, ...], Distinct] = Field(min_length=1, description="Families that it is judged in.")
    families_needed: FromOne = Field(description="In so many families all conditions of a side must hold.")
    confirmed: tuple[Condition, ...] = Field(min_length=1, description="What confirms it in a family: all of these.")
    refuted: tuple[Condition, ...] = Field(min_length=1, description="What refutes it in a family: all of these.")


class Expectations(Section):
    """Claims on a population of trained models, and how they are judged."""

    setting: Name = Field(description="Setting of the sampler whose LLC is admitted, and whose control is held fixed.")
    repeat: Name = Field(description="The same setting with other random numbers, for the reliability.")
    epsilon: Positive = Field(description="Tolerance of the critical levels (nats).")
    given: Annotated[tuple[Name, ...], Distinct] = Field(
        min_length=1, description="Rivals that partial statistics hold fixed; control: the sampler's."
    )
    predictors: Annotated[tuple[Name, ...], Distinct] = Field(
        min_length=1,
        description="What is to foretell: measures of the table measures; log d, log steps and training loss besides.",
    )
    families: dict[Name, Annotated[tuple[Name, ...], Field(min_length=1), Distinct]] = Field(
        min_length=1, description="Families of schemes, by name."
    )
    resamples: Integer = Field(1000, ge=100, le=100_000, description="Resamples of runs or points for an interval.")
    permutations: Integer = Field(999, ge=99, le=100_000, description="Exchanges of runs for a p value.")
    claims: dict[Name, Claim] = Field(min_length=1, description="The claims, by name.")

    def conflicts(
        self, key: str, settings: Collection[str], tolerances: Collection[float], schemes: Collection[str]
    ) -> Iterator[str]:
        """Problems in a study with these settings of the sampler, tolerances and schemes, one line each."""
        for name in ("setting", "repeat"):
            if (own := getattr(self, name)) not in settings:
                yield f"{key}.{name}: the study has no setting {own!r}; there are {', '.join(settings)}"
        if self.epsilon not in tolerances:
            there = ", ".join(f"{epsilon:g}" for epsilon in tolerances)
            yield f"{key}.epsilon: the study has no tolerance {self.epsilon:g}; there are {there}"
        grouped = [scheme for family in self.families.values() for scheme in family]
        for twice in sorted({scheme for scheme in grouped if grouped.count(scheme) > 1}):
            yield f"{key}.families: the scheme {twice!r} is in more than one family"
        for name, family in self.families.items():
            if not set(family) & set(schemes):
                yield f"{key}.families.{name}: the study has none of the schemes {', '.join(family)}"
        for name, claim in self.claims.items():
            yield from self._check_claim(f"{key}.claims.{name}", claim)

    def _check_claim(self, key: str, claim: Claim) -> Iterator[str]:
        """It is about families and a predictor that there are, and its conditions have limits."""
        if claim.predictor not in self.predictors:
            yield f"{key}.predictor: {claim.predictor!r} is not one of the predictors"
        for family in claim.families:
            if family not in self.families:
                yield f"{key}.families: no family {family!r}; there are {', '.join(self.families)}"
        if claim.families_needed > len(claim.families):
            yield f"{key}.families_needed: {claim.families_needed} of {len(claim.families)} families"
        for side in ("confirmed", "refuted"):
            yield from _check_conditions(f"{key}.{side}", getattr(claim, side))


def _check_conditions(key: str, conditions: tuple[Condition, ...]) -> Iterator[str]:
    """Every condition has a limit, and a side has one condition on a statistic."""
    names = [condition.statistic for condition in conditions]
    for twice in sorted({name for name in names if names.count(name) > 1}):
        yield f"{key}: {twice} stands twice; give its limits in one condition"
    for condition in conditions:
        if condition.above == () and {condition.at_least, condition.low_above, condition.high_below} == {None}:
            yield f"{key}: {condition.statistic} has no limit; give at_least, low_above, high_below or above"
