"""The config of the theory: volumes, codes, clouds and small networks of singular models."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from smdl.llc.settings import Localised
from smdl.settings.base import Config, Count, Distinct, Integer, Number, Section, section, with_defaults

LARGEST, SMALLEST = "Largest tolerance (nats).", "Smallest tolerance (nats)."
POINTS = "Tolerances, in equal ratio."
REPLICATES = "Independent runs, which give the interval."
WALKERS = "Independent chains."

VolumeModel = Literal[
    "ellipse", "valley", "cross", "product", "chain", "tanh", "mixture", "rank0of1", "rank0of2", "rank1of2"
]
CodeModel = Literal["coin", "pair_product", "pair_cubic", "multinomial", "binomial_mixture"]
CloudModel = Literal["ellipse", "valley", "cross", "product", "tanh"]


class Scales(Section):
    """Tolerances from a largest to a smallest one, in equal ratio."""

    largest_eps: Number
    smallest_eps: Number
    points: Integer


class Exact(Scales):
    """Tolerances of the exact integrals."""

    largest_eps: Number = Field(1.0e-6, gt=0, lt=1, description=LARGEST)
    smallest_eps: Number = Field(1.0e-30, gt=0, lt=1, description=SMALLEST)
    points: Integer = Field(25, ge=6, le=10_000, description=POINTS)


class Splitting(Scales):
    """Multilevel splitting, tolerances as above."""

    largest_eps: Number = Field(1.0e-4, gt=0, lt=1, description=LARGEST)
    smallest_eps: Number = Field(
        1.0e-14, gt=0, lt=1, description="Smallest tolerance (nats); below 1e-20 rounding errors of K show."
    )
    points: Integer = Field(21, ge=6, le=10_000, description=POINTS)
    particles: Integer = Field(
        2000,
        ge=10,
        le=10**7,
        description="Particles of a run; its log volume has variance of about levels / particles.",
    )
    sweeps: Integer = Field(
        1,
        ge=1,
        le=10**6,
        description="Moves of every particle along all coordinates and one random direction, at each level.",
    )
    replicates: Integer = Field(12, ge=3, le=10_000, description=REPLICATES)


class Volumes(Section):
    """Volumes of the sublevel sets of excess loss at most eps."""

    models: Annotated[tuple[VolumeModel, ...], Distinct] = Field(
        ("ellipse", "valley", "cross", "product", "chain", "tanh", "mixture", "rank0of1", "rank0of2", "rank1of2"),
        min_length=1,
        description="Models, of src/smdl/experiments/theory/models.py.",
    )
    exact: Exact = section()
    splitting: Splitting = section()


class Redundancy(Section):
    """The two-part code of Theorem 1."""

    models: Annotated[tuple[CodeModel, ...], Distinct] = Field(
        ("coin", "pair_product", "pair_cubic", "multinomial", "binomial_mixture"),
        min_length=1,
        description="Models, of src/smdl/experiments/theory/codes.py.",
    )
    smallest_n: Integer = Field(1000, ge=2, description="Smallest number of observations.")
    largest_n: Integer = Field(
        10_000_000_000,
        ge=100,
        description="Largest number of observations; fewer where the codebook's points would not fill the cells.",
    )
    sizes: Integer = Field(12, ge=6, le=10_000, description="Numbers of observations, in equal ratio.")
    draws: Integer = Field(400, ge=2, le=10**6, description="Data sets for each codebook and size.")
    replicates: Integer = Field(12, ge=3, le=10_000, description="Independent codebooks, which give the interval.")
    log2_points: Integer = Field(19, ge=8, le=26, description="log2 of the points that stand for the parameter space.")
    coded_n: Integer = Field(
        3000, ge=0, le=10**7, description="Up to this many observations data are really coded to bits and decoded."
    )
    coded_draws: Integer = Field(4, ge=1, le=10**6, description="Data sets really coded, for each codebook and size.")


CloudSampler = with_defaults(
    Localised,
    "CloudSampler",
    lr=5.0e-4,
    n_beta=100,
    gamma=1.0,
    alpha=0.99,
    eps_rms=1.0,
    batch_size=1,
    burn_in=4000,
    draws=20,
    steps_between_draws=200,
)
NetworkSampler = with_defaults(
    Localised,
    "NetworkSampler",
    lr=1.0e-6,
    n_beta=10_000,
    gamma=100.0,
    alpha=0.99,
    eps_rms=0.1,
    batch_size=1,
    burn_in=2000,
    draws=50,
    steps_between_draws=100,
)


class Clouds(Section):
    """The sampler on the models of two parameters."""

    models: Annotated[tuple[CloudModel, ...], Distinct] = Field(
        ("ellipse", "valley", "cross", "product", "tanh"),
        min_length=1,
        description="Models of two parameters, of src/smdl/experiments/theory/models.py.",
    )
    walkers: Integer = Field(400, ge=2, le=10**6, description=WALKERS)
    sampler: CloudSampler = section()


class Bits(Scales):
    """Tolerances of the largest cells."""

    largest_eps: Number = Field(1.0e-2, gt=0, lt=1, description=LARGEST)
    smallest_eps: Number = Field(1.0e-8, gt=0, lt=1, description=SMALLEST)
    points: Integer = Field(13, ge=3, le=10_000, description=POINTS)


class Networks(Section):
    """Small networks trained to zero excess loss."""

    hidden: Integer = Field(4, ge=1, le=10_000, description="tanh units of the student.")
    teacher_units: Annotated[tuple[Count, ...], Distinct] = Field(
        (1, 2, 3, 4), min_length=1, max_length=1000, description="tanh units of the teachers, one network each."
    )
    inputs: Integer = Field(64, ge=1, le=10**6, description="Inputs over which the loss is the mean.")
    tolerance: Number = Field(1.0e-14, gt=0, description="Excess loss (nats) below which training has got there.")
    walkers: Integer = Field(32, ge=2, le=10**6, description=WALKERS)
    sampler: NetworkSampler = section()


class Theory(Config):
    """The theory (make theory): four measurements of models whose learning coefficient is known. Losses in nats."""

    seed: Integer = Field(1, ge=0, description="Seed of everything random.")
    confidence: Number = Field(
        0.95, gt=0, lt=1, description="Level of the intervals of the theory's learning coefficients."
    )
    largest_multiplicity: Integer = Field(
        3,
        ge=1,
        le=1000,
        description="Multiplicities from 1 to this one (and to the number of parameters) are compared.",
    )
    volumes: Volumes = section()
    redundancy: Redundancy = section()
    clouds: Clouds = section()
    bits: Bits = section()
    networks: Networks = section()

    def conflicts(self) -> Iterator[str]:
        """Ranges run from the smaller to the larger."""
        ranges = {
            "volumes.exact": self.volumes.exact,
            "volumes.splitting": self.volumes.splitting,
            "bits": self.bits,
        }
        for key, span in ranges.items():
            if span.smallest_eps >= span.largest_eps:
                yield f"{key}.smallest_eps: {span.smallest_eps} is not below largest_eps, {span.largest_eps}"
        sizes = self.redundancy
        if sizes.smallest_n >= sizes.largest_n:
            yield f"redundancy.smallest_n: {sizes.smallest_n} is not below largest_n, {sizes.largest_n}"
