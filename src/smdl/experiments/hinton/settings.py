"""The config of the experiment of Hinton and van Camp (1993)."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from smdl.settings.base import Config, Integer, NotNegative, Number, Positive, Section, section

MOST_NUMBERS = 10**9


class Rule(Section):
    """The rule behind the synthetic targets (not theirs)."""

    units: Integer = Field(2, ge=1, le=10_000, description="Logistic units of the rule.")
    inputs_each: Integer = Field(4, ge=1, description="Inputs that each unit looks at.")
    gain: Number = Field(1, gt=0, description="Size of the rule's incoming weights.")
    noise: Number = Field(0.3, ge=0, description="Noise over the clean target's deviation.")


class Hinton(Config):
    """The experiment of Hinton and van Camp (make hinton); where they printed a number it is the default."""

    seed: Integer = Field(
        0, ge=0, description="Seed of everything random: of the first data set, and of the first initial weights."
    )
    datasets: Integer = Field(5, ge=1, le=1000, description="Synthetic data sets (not theirs, one real one).")
    positions: Integer = Field(16, ge=1, le=10_000, description="Residues of a synthetic molecule.")
    descriptors: Integer = Field(8, ge=1, le=10_000, description="Numbers per residue; 16 x 8 are the 128 inputs.")
    hidden: Integer = Field(4, ge=1, le=10_000, description="Hidden units.")
    training: Integer = Field(105, ge=6, description="Training cases.")
    test: Integer = Field(420, ge=2, description="Test cases.")
    rule: Rule = section()
    restarts: Integer = Field(5, ge=1, le=10_000, description="Initial weights tried.")
    components: Integer = Field(5, ge=2, le=1000, description="Gaussians of the coding prior.")
    prior_range: Number = Field(0.24, gt=0, description="Their means start even in +-this.")
    coefficients: Annotated[tuple[Positive, ...], Field(min_length=1)] = Field(
        (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
        description="Coefficients of the weights' cost, in order.",
    )
    steps: Integer = Field(100, ge=1, le=10**9, description="Updates at each coefficient but the last.")
    tolerance: Number = Field(
        1.0e-6, gt=0, description="Change of the cost (nats) below which the last coefficient's updates end."
    )
    mean_std: Number = Field(0.15, gt=0, description="Deviation of the initial means.")
    noise_std: Number = Field(0.1, gt=0, description="Initial deviation of every weight.")
    exact_steps: Integer = Field(2000, ge=1, le=10**9, description="Most updates of a noise-free network.")
    weight_decays: Annotated[tuple[NotNegative, ...], Field(min_length=1)] = Field(
        (0.1, 0.3, 1, 2, 3, 5, 7, 10, 15, 20, 30), description="Candidates for the weight decay."
    )
    ridge_penalties: Annotated[tuple[Positive, ...], Field(min_length=1)] = Field(
        (1, 3, 10, 20, 30, 50, 70, 100, 150, 200, 300, 1000), description="Candidates for the ridge penalty."
    )
    validation: Number = Field(
        0.3333, gt=0, lt=1, description="Part of the training cases that chooses among the candidates."
    )

    def conflicts(self) -> Iterator[str]:
        """The data can be held, and a unit of the rule has the inputs that it looks at."""
        inputs = self.positions * self.descriptors
        if self.rule.inputs_each > inputs:
            yield f"rule.inputs_each: {self.rule.inputs_each} are more than the {inputs} inputs"
        cases = self.training + self.test
        if inputs * cases > MOST_NUMBERS:
            yield f"config: {cases} cases of {inputs} inputs are more than {MOST_NUMBERS:.0e} numbers"
