"""The config of the known answers: the sampler on models whose learning coefficient is known."""

from collections.abc import Iterator

from pydantic import Field

from smdl.llc.settings import Gates, Localised
from smdl.settings.base import Config, Integer, Section, section, with_defaults

SHARES = "Jobs that the family is dealt to."
CHAINS = "Chains per model, walked as one stack."
CASES = "Number of models."


def _sampler(name: str, **defaults: float) -> type[Section]:
    return with_defaults(Localised, f"{name}Sampler", alpha=0.99, **defaults)


MonomialsSampler = _sampler(
    "Monomials",
    lr=0.03,
    n_beta=30,
    gamma=0.01,
    eps_rms=10,
    batch_size=1,
    burn_in=600,
    draws=1200,
    steps_between_draws=5,
)
CrossingsSampler = _sampler(
    "Crossings",
    lr=2.0e-3,
    n_beta=200,
    gamma=0.5,
    eps_rms=10,
    batch_size=1,
    burn_in=6000,
    draws=2400,
    steps_between_draws=10,
)
RegularSampler = _sampler(
    "Regular",
    lr=4.0e-5,
    n_beta=1000,
    gamma=1.0,
    eps_rms=1.0,
    batch_size=64,
    burn_in=200,
    draws=300,
    steps_between_draws=5,
)
# Of reduced-rank regression and of deep linear networks.
LinearSampler = _sampler(
    "Linear",
    lr=4.0e-4,
    n_beta=1000,
    gamma=0.4,
    eps_rms=1.0,
    batch_size=64,
    burn_in=3000,
    draws=600,
    steps_between_draws=5,
)


class Family(Section):
    """Models of one kind, all sampled with the same settings."""

    cases: Integer = Field(10, ge=2, le=10_000, description=CASES)
    shares: Integer = Field(1, ge=1, description=SHARES)
    chains: Integer = Field(4, ge=2, le=10_000, description=CHAINS)


class Monomials(Family):
    """Sums of w^2 and w^4."""

    sampler: MonomialsSampler = section()


class Crossings(Family):
    """Normal crossings and the toys of arXiv:2510.12077."""

    cases: Integer = Field(10, ge=4, le=10_000, description=CASES)
    chains: Integer = Field(16, ge=2, le=10_000, description=CHAINS)
    sampler: CrossingsSampler = section()


class Regular(Family):
    """Linear regression."""

    sampler: RegularSampler = section()


class ReducedRank(Family):
    """Reduced-rank regression."""

    cases: Integer = Field(16, ge=6, le=10_000, description=CASES)
    sampler: LinearSampler = section()


class DeepLinear(Family):
    """Deep linear networks of two to four layers."""

    cases: Integer = Field(64, ge=2, le=10_000, description=CASES)
    shares: Integer = Field(4, ge=1, description=SHARES)
    sampler: LinearSampler = section()


class Families(Section):
    """The settings of each family, found on members drawn from another seed."""

    monomials: Monomials = section()
    crossings: Crossings = section()
    regular: Regular = section()
    reduced_rank: ReducedRank = section()
    deep_linear: DeepLinear = section()


class KnownAnswers(Config):
    """The sampler on models whose learning coefficient is known in closed form (make calibration)."""

    seed: Integer = Field(
        0, ge=0, description="Seed of the cases and of the chains; the settings below were found with 1."
    )
    families: Families = section()
    gates: Gates = section()

    def conflicts(self) -> Iterator[str]:
        """No job is left without a model."""
        for name in Families.model_fields:
            family = getattr(self.families, name)
            if family.shares > family.cases:
                yield f"families.{name}.shares: {family.shares} jobs are more than the {family.cases} cases"
