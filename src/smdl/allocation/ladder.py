"""The bits of one matrix by its learning coefficient: a ladder of n_beta, climbed with warm starts.

For any loss, d/d(ln n_beta) of the free energy is the LLC at that n_beta. With all other weights frozen, the code
length of a matrix down to the tolerance 1/n_beta is therefore

    R(n_beta) = (1 / ln 2) * integral from 0 to n_beta of lambda(s) ds / s   [bits],

where lambda is its weight-restricted LLC (arXiv:2410.02984, section 2.3). In a quadratic well with curvatures h it is
1/2 sum log2(1 + n_beta h / gamma): reverse water-filling, where directions with n_beta h < gamma get no bits.

Of a well whose curvatures are all h it would be d/2 log2(1 + n_beta h / gamma). So R gives d weights an effective
curvature, in which directions count by the logarithm of what they cost, not by their cost as in the trace:

    h(n_beta) = (2^(2 R / d) - 1) gamma / n_beta,      the mean curvature tr H / d where n_beta h is far below gamma.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from smdl.allocation.kept import Kept
from smdl.allocation.settings import Allocation, Ladder
from smdl.compression.weights import touched
from smdl.llc.diagnostics import standard_error
from smdl.llc.restriction import restricted_to
from smdl.llc.sampler import Loss, Walker
from smdl.llc.settings import Sampler
from smdl.models.loading import BlockLoss, second_derivatives
from smdl.models.views import WeightView, iterate
from smdl.rulers.second_order.spectrum import largest_eigenvalue
from smdl.tables.allocation import LADDER_KIND, PUBLISHED

# A token block forward and back, in blocks forward.
STEP_PASSES = 3
# Steps of Lanczos behind the largest curvature.
STIFFNESS_STEPS = 8
# The least LLC that counts, over the largest: noise makes some of no LLC.
LEAST = 1e-6


def climb(
    loss: Loss,
    baseline: np.ndarray,
    rungs: Sequence[float],
    gamma: float,
    stiffness: float,
    settings: Ladder,
    seed: int,
) -> list[dict[str, Any]]:
    """Rows (n_beta, llc, llc_se) of chains at rising ``rungs``, each begun where the last one ended.

    ``baseline`` holds the loss (nats) of every sequence at w*, shape (loss.size,), ``stiffness`` the largest curvature
    of the loss, which sets the size of the steps. The first rung begins at draws of the localisation. Plain SGLD: every
    direction's step is the same. Raises StudyError where a loss is not finite.
    """
    started = time.monotonic()
    sampler = Sampler(
        lr=1.0,
        gamma=gamma,
        eps_rms=1.0,
        preconditioner="fixed",
        batch_size=min(settings.batch_size, loss.size),
        burn_in=settings.burn_in,
        draws=settings.draws,
    )
    walker = Walker(loss, sampler)
    walker.second_moment.zero_()
    excess = np.zeros((len(rungs), settings.chains, settings.draws))
    for chain in range(settings.chains):
        walker.reset()
        walker.localise(seed, chain)
        for rung, n_beta in enumerate(rungs):
            lr = 2 * settings.step / (gamma + n_beta * max(stiffness, 0.0))
            walker.settings = sampler.changed(n_beta=n_beta, lr=lr)
            # A number of its own for every rung, so that its noise and its minibatches are others.
            for seen in walker.walk(seed, chain + settings.chains * rung, n_beta):
                if (draw := seen.step - settings.burn_in) >= 0:
                    excess[rung, chain, draw] = seen.losses.mean().item() - baseline[seen.sequences].mean()
    walker.reset()
    blocks = settings.chains * len(rungs) * sampler.steps * sampler.batch_size
    cost = {
        "passes": STEP_PASSES * blocks / len(rungs),
        "seconds": (time.monotonic() - started) / len(rungs),
    }
    return [
        {"n_beta": n_beta, "gamma": gamma, "llc": n_beta * own.mean(), "llc_se": n_beta * standard_error(own), **cost}
        for n_beta, own in zip(rungs, excess, strict=True)
    ]


def ladders(loss: BlockLoss, baseline: np.ndarray, settings: Allocation, seed: int, kept: Kept) -> pd.DataFrame:
    """Rows of the table ``ladder``: every matrix alone, at the published setting and on the ladder.

    The first blocks of ``loss`` give the largest curvature of each matrix. On the ladder the localisation of a matrix
    is as wide as its weights are large: gamma is one over their mean square.
    """
    views = touched(iterate(loss.model), settings.parameters)
    parts = [
        kept.rows(view.name, lambda view=view: _of_matrix(loss, baseline, view, settings, seed))
        for view in tqdm(views, desc="ladders", unit="matrix", mininterval=5)
    ]
    return pd.concat(parts, ignore_index=True)


def _of_matrix(
    loss: BlockLoss, baseline: np.ndarray, view: WeightView, settings: Allocation, seed: int
) -> list[dict[str, Any]]:
    its = settings.ladder
    mean_square = float(view.current().double().square().mean())
    with restricted_to(loss, view):
        some = BlockLoss(loss.model, loss.blocks[: its.stiffness_blocks])
        some.parameters = loss.parameters
        with second_derivatives(loss.model):
            stiffness = largest_eigenvalue(some, its.batch_size, STIFFNESS_STEPS, seed)
        at = {
            PUBLISHED: ([settings.published_n_beta], settings.published_gamma),
            LADDER_KIND: (list(its.n_beta), 1 / mean_square if mean_square else settings.published_gamma),
        }
        found = {kind: climb(loss, baseline, rungs, gamma, stiffness, its, seed) for kind, (rungs, gamma) in at.items()}
    own = found[LADDER_KIND]
    length = code_length(its.n_beta, [row["llc"] for row in own], [row["llc_se"] for row in own])
    for row, bits, bits_se in zip(own, length.bits, length.bits_se, strict=True):
        row |= {"bits": bits, "bits_se": bits_se}
    common = {"tensor": view.name, "stiffness": stiffness}
    none = {"bits": np.nan, "bits_se": np.nan}
    return [{**common, "kind": kind, **none, **row} for kind, rows in found.items() for row in rows]


@dataclass(frozen=True)
class CodeLength:
    """The bits of a component at every rung, and their standard errors."""

    n_beta: np.ndarray
    bits: np.ndarray
    bits_se: np.ndarray

    def effective_curvature(self, n_beta: float, gamma: float, elements: int) -> float:
        """The curvature that all of so many weights would have; bits are interpolated over ln n_beta between rungs."""
        bits = float(np.interp(log(n_beta), np.log(self.n_beta), self.bits))
        return (2 ** (2 * bits / elements) - 1) * gamma / n_beta


def code_length(n_beta: Sequence[float], llc: Sequence[float], llc_se: Sequence[float]) -> CodeLength:
    """R at every rung, with the LLC a power of n_beta between rungs, and linear below the first one.

    The mean of a power over ln n_beta is the logarithmic mean of its ends; that of the trapezoidal rule is too large by
    a tenth at half a decade a rung where the LLC is still linear. The standard error is that of the linearised sum.
    LLCs below ``LEAST`` of the largest, which noise makes of small ones, are taken as that.
    """
    n_beta, se = np.asarray(n_beta, dtype=float), np.asarray(llc_se, dtype=float)
    llc = np.asarray(llc, dtype=float)
    llc = np.maximum(llc, LEAST * max(llc.max(), np.finfo(float).tiny / LEAST))
    widths = np.diff(np.log(n_beta))
    lower, upper = _slopes(llc[:-1], llc[1:])
    # How the integral up to each rung changes with each LLC: rows are rungs. It is homogeneous: slopes give it, too.
    slopes = np.zeros((len(llc), len(llc)))
    slopes[:, 0] = 1.0
    for rung, width in enumerate(widths):
        slopes[rung + 1 :, rung] += width * lower[rung]
        slopes[rung + 1 :, rung + 1] += width * upper[rung]
    bits = slopes @ llc / log(2)
    return CodeLength(n_beta, bits, np.sqrt(slopes**2 @ se**2) / log(2))


def _slopes(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The derivatives of the logarithmic mean (y - x) / ln(y / x) by x and by y; a half each where both are equal."""
    same = np.isclose(first, second, rtol=1e-6)
    x, y = np.where(same, 1.0, first), np.where(same, 2.0, second)
    ratio = np.log(y / x)
    mean = (y - x) / ratio
    return np.where(same, 0.5, (mean / x - 1) / ratio), np.where(same, 0.5, (1 - mean / y) / ratio)
