"""The cases: families of models of known learning coefficient, each drawn from a seed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from smdl.experiments.aoyagi import crossing, deep_linear
from smdl.experiments.known_answers.models import Crossings, DeepLinear
from smdl.llc.sampler import Loss

INPUTS = 1024
Generator = np.random.Generator


@dataclass(frozen=True)
class Case:
    """One model: its size in parameters, the truth about it, and how to build a stack of chains of it."""

    name: str
    parameters: int
    learning_coefficient: Fraction
    multiplicity: int
    build: Callable[[int], Loss]


def monomials(count: int, random: Generator) -> Iterator[Case]:
    """Sums of |w_i|^p_i, p_i 2 or 4, from 2 to 10,000 weights; the learning coefficient is the sum of 1/p_i."""
    for size in np.geomspace(2, 10_000, count).round().astype(int):
        powers = random.choice([2, 4], size=(size, 1))
        yield _sum_of_terms(f"{size} monomials w^2, w^4", powers.tolist(), [1.0] * size)


def crossings(count: int, random: Generator) -> Iterator[Case]:
    """The toys of arXiv:2510.12077, figure 2, then sums of terms like them, whose learning coefficients add up."""
    yield _sum_of_terms("w1^2 + 2 w2^2", [[2], [2]], [1.0, 2.0])
    yield _sum_of_terms("w2^2", [[0, 2]], [1.0])
    yield _sum_of_terms("w1^2 w2^4", [[2, 4]], [1.0])
    for terms in np.geomspace(2, 500, count - 3).round().astype(int):
        powers = random.permuted(np.tile([2, 4], (terms, 1)), axis=1)
        yield _sum_of_terms(f"{terms} terms w1^2 w2^4", powers.tolist(), [1.0] * terms)


def regular(count: int, random: Generator) -> Iterator[Case]:
    """Linear regression with from 10 to 10,000 weights; the learning coefficient is half their number."""
    for size in np.geomspace(10, 10_000, count):
        inputs = round(np.sqrt(size) * np.exp(random.uniform(-0.5, 0.5)))
        yield _linear((inputs, round(size / inputs)), 1, random)


def reduced_rank(count: int, random: Generator) -> Iterator[Case]:
    """Reduced-rank regression; the first four are one of each of Aoyagi and Watanabe's cases, both parities."""
    yield _linear((6, 5, 6), 3, random)
    yield _linear((6, 4, 7), 2, random)
    yield _linear((4, 3, 12), 2, random)
    yield _linear((12, 3, 4), 2, random)
    yield _linear((4, 12, 5), 1, random)
    for _ in range(count - 5):
        yield _linear(_widths(2, random), None, random)


def deep(count: int, random: Generator) -> Iterator[Case]:
    """Deep linear networks of two to four layers; of every three, one is of the full rank that its widths allow."""
    for number in range(count):
        widths = _widths(int(random.integers(2, 5)), random)
        yield _linear(widths, min(widths) if number % 3 == 2 else None, random)


FAMILIES = {
    "monomials": monomials,
    "crossings": crossings,
    "regular": regular,
    "reduced_rank": reduced_rank,
    "deep_linear": deep,
}


def cases(family: str, count: int, seed: int) -> list[Case]:
    """``count`` cases of a family; the same for the same seed."""
    return list(FAMILIES[family](count, np.random.default_rng([seed, list(FAMILIES).index(family)])))


def _widths(layers: int, random: Generator) -> tuple[int, ...]:
    """Random widths around a common scale, up to some ten thousand weights."""
    scale = np.exp(random.uniform(np.log(4), np.log(np.sqrt(9000 / layers))))
    return tuple(max(2, round(scale * np.exp(random.uniform(-0.5, 0.5)))) for _ in range(layers + 1))


def _linear(widths: Sequence[int], rank: int | None, random: Generator) -> Case:
    """A linear network; rank None is drawn below the full one."""
    rank = int(random.integers(0, min(widths))) if rank is None else rank
    lam, multiplicity = deep_linear(widths, rank)
    parameters = sum(a * b for a, b in pairwise(widths))
    own = int(random.integers(2**31))

    def build(chains: int) -> Loss:
        return DeepLinear(widths, rank, INPUTS, chains, np.random.default_rng(own))

    return Case(f"{'-'.join(map(str, widths))} of rank {rank}", parameters, lam, multiplicity, build)


def _sum_of_terms(name: str, powers: list[list[int]], factors: list[float]) -> Case:
    lam = sum((crossing([p // 2 for p in term])[0] for term in powers), start=Fraction(0))
    multiplicity = 1 + sum(crossing([p // 2 for p in term])[1] - 1 for term in powers)
    parameters = sum(len(term) for term in powers)
    return Case(name, parameters, lam, multiplicity, lambda chains: Crossings(powers, factors, chains))
