"""Priors over quantized weights and the bits they cost: a Gaussian, a Laplace, and a mixture of Gaussians by EM.

A quantized weight is coded with the probability that the prior gives to its cell, so the lengths are those of a real
prefix code (to within two bits for the whole), and the parameters of the prior are paid for at ``PARAMETER_BITS`` each.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp
from scipy.stats import laplace, norm

from smdl.rulers.codes.quantized import Quantized

PARAMETER_BITS = 32
SUMMARY_CHUNKS = 1024
# no cell may be impossible: this much probability is spread evenly over all cells
SMOOTHING = 1e-6

Cumulative = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Prior:
    """A prior over one weight: its cumulative distribution and how many parameters must be sent with it."""

    family: str
    cumulative: Cumulative
    parameters: int

    def cell_probabilities(self, edges: np.ndarray) -> np.ndarray:
        """Probability of each cell between neighbouring ``edges``; the outer cells reach to infinity. Sums to 1."""
        inner = self.cumulative(edges[1:-1])
        probabilities = np.clip(np.diff(np.concatenate([[0.0], inner, [1.0]])), 0.0, None)
        probabilities = (1 - SMOOTHING) * probabilities + SMOOTHING / len(probabilities)
        return probabilities / probabilities.sum()

    def bits(self, quantized: Quantized) -> float:
        """Bits of the quantized weights under this prior, its parameters included."""
        probabilities = self.cell_probabilities(quantized.edges)
        return float(-(quantized.counts * np.log2(probabilities)).sum()) + PARAMETER_BITS * self.parameters


@dataclass(frozen=True)
class Mixture:
    """A mixture of Gaussians: proportions, means and standard deviations, each (m,)."""

    proportions: np.ndarray
    means: np.ndarray
    stds: np.ndarray

    def log_density(self, values: np.ndarray) -> np.ndarray:
        """log of the density at every value, in nats."""
        return logsumexp(self._log_joint(np.ravel(values), 0.0), axis=0).reshape(np.shape(values))

    def cumulative(self, values: np.ndarray) -> np.ndarray:
        """The cumulative distribution at every value."""
        return norm.cdf(values[..., None], self.means, self.stds) @ self.proportions

    def _log_joint(self, values: np.ndarray, variances: np.ndarray | float) -> np.ndarray:
        """log pi_i + E log N(value; m_i, s_i), (m, values), the expectation over a chunk of the given variance."""
        with np.errstate(divide="ignore"):
            constants = np.log(self.proportions) - np.log(self.stds) - 0.5 * np.log(2 * np.pi)
        squares = (values - self.means[:, None]) ** 2 + variances
        return constants[:, None] - squares / (2 * self.stds[:, None] ** 2)


def gaussian(weights: np.ndarray, floor: float) -> Prior:
    """The maximum-likelihood Gaussian, its standard deviation no less than ``floor``."""
    mean, std = weights.mean(), max(weights.std(), floor)
    return Prior("gaussian", lambda x: norm.cdf(x, mean, std), 2)


def laplacian(weights: np.ndarray, floor: float) -> Prior:
    """The maximum-likelihood Laplace distribution, its scale no less than ``floor``."""
    median = np.median(weights)
    scale = max(np.abs(weights - median).mean(), floor)
    return Prior("laplace", lambda x: laplace.cdf(x, median, scale), 2)


def mixture(weights: np.ndarray, floor: float, components: int) -> Prior:
    """The mixture of ``components`` Gaussians that EM finds, standard deviations no less than ``floor``."""
    fitted = fit_mixture(weights, components, floor)[0]
    return Prior("mixture", fitted.cumulative, 3 * components - 1)


def fit_mixture(
    weights: np.ndarray, components: int, floor: float, steps: int = 200, tolerance: float = 1e-5
) -> tuple[Mixture, list[float]]:
    """A mixture of Gaussians by EM, and the bound on the mean log-likelihood (nats) at every step, which never falls.

    More than ``SUMMARY_CHUNKS`` weights are summed up first in chunks of neighbours (mean, variance, count), whose
    shared responsibilities make the bound slightly less than the likelihood (Verbeek, Nunnink and Vlassis 2006).
    The components start with means at even quantiles, the outermost beyond the bulk, and a common width.
    """
    ordered = weights if (weights[1:] >= weights[:-1]).all() else np.sort(weights)
    means, variances, counts = _summary(ordered)
    total = counts.sum()
    quantiles = _quantiles(ordered, (np.arange(components) + 0.5) / components)
    centre = counts @ means / total
    width = max(np.sqrt(counts @ (variances + (means - centre) ** 2) / total / components), floor)
    fitted = Mixture(np.full(components, 1 / components), quantiles, np.full(components, width))
    bounds: list[float] = []
    for _ in range(steps):
        joint = fitted._log_joint(means, variances)
        largest = joint.max(axis=0)
        shares = np.exp(joint - largest)
        evidence = shares.sum(axis=0)
        bounds.append(float(counts @ (np.log(evidence) + largest) / total))
        if len(bounds) > 1 and bounds[-1] - bounds[-2] < tolerance:
            break
        shares *= counts / evidence
        mass = np.maximum(shares.sum(axis=1), 1e-300)
        centres = shares @ means / mass
        squares = ((means - centres[:, None]) ** 2 + variances) * shares
        fitted = Mixture(mass / mass.sum(), centres, np.maximum(np.sqrt(squares.sum(axis=1) / mass), floor))
    return fitted, bounds


def _summary(ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, variance and count of chunks of neighbours of an ascending vector; each a chunk where there are few.

    In double precision, a chunk at a time.
    """
    if len(ordered) <= SUMMARY_CHUNKS:
        return ordered.astype(np.float64), np.zeros(len(ordered)), np.ones(len(ordered))
    starts = np.linspace(0, len(ordered), SUMMARY_CHUNKS, endpoint=False).astype(int)
    chunks = (chunk.astype(np.float64) for chunk in np.split(ordered, starts[1:]))
    return tuple(np.array([(chunk.mean(), chunk.var(), len(chunk)) for chunk in chunks]).T)


def _quantiles(ordered: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Quantiles of an ascending vector, linear between neighbours as numpy's, without a second copy of it."""
    places = shares * (len(ordered) - 1)
    below = np.floor(places).astype(int)
    low, high = (ordered[np.minimum(at, len(ordered) - 1)].astype(np.float64) for at in (below, below + 1))
    return low + (high - low) * (places - below)
