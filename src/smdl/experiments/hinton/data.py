"""Synthetic cases of the shape of the 1993 data, which are not public, under a rule of low complexity that we know.

A molecule is a chain of ``positions`` residues out of an alphabet of 20; each residue has ``descriptors`` numbers that
are its own, so the 128 inputs are 16 positions times 8 descriptors and strongly dependent, as descriptors of peptides
are. The rule looks at a few inputs only, with weights of one size, through logistic units:

    effectiveness = sum_u s_u logistic( a * sum_{i in S_u} t_i x_i ) + noise,      t_i, s_u in {-1, +1}
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from smdl.experiments.hinton.settings import Rule

RESIDUES = 20


@dataclass(frozen=True)
class Cases:
    """Inputs (cases, inputs) and targets (cases,)."""

    x: np.ndarray
    y: np.ndarray


def make(
    rule: Rule, positions: int, descriptors: int, training: int, test: int, seed: int
) -> tuple[Cases, Cases, np.ndarray]:
    """Training cases, test cases, and the rule's weights (units, inputs) for the inputs as they are given.

    Inputs and targets have mean zero and unit variance over all cases, as in 1993.
    """
    rng = np.random.default_rng(seed)
    alphabet = rng.standard_normal((RESIDUES, descriptors))
    chains = rng.integers(RESIDUES, size=(training + test, positions))
    x = standardised(alphabet[chains].reshape(training + test, positions * descriptors))
    weights = np.zeros((rule.units, x.shape[1]))
    for row in weights:
        row[rng.choice(x.shape[1], rule.inputs_each, replace=False)] = rng.choice((-1.0, 1.0), rule.inputs_each)
    weights *= rule.gain
    clean = standardised(expit(x @ weights.T) @ rng.choice((-1.0, 1.0), rule.units))
    y = standardised(clean + rule.noise * rng.standard_normal(len(clean)))
    return Cases(x[:training], y[:training]), Cases(x[training:], y[training:]), weights


def standardised(values: np.ndarray) -> np.ndarray:
    """``values`` shifted and scaled to mean 0 and variance 1 down the first axis."""
    return (values - values.mean(0)) / values.std(0)
