"""Bits per coordinate: the largest quantization cell around w* that stays in the sublevel set {K <= eps}.

A cell of sides l_i in a box of sides L_i takes sum_i log2(L_i / l_i) bits. If the cell could fill the sublevel set,
this would be b d with b = (lambda / d) log2(1/eps) + O(log log(1/eps) / d) a coordinate (arXiv:2510.12077). A
quantizer's cells are boxes along the coordinates, or cubes if every coordinate gets the same step, and pay more where
the sublevel set does not lie along the coordinates.
"""

from collections.abc import Callable
from itertools import product

import numpy as np
import torch
from torch import Tensor

from smdl.compression.schemes.quantize import to_grid

# Up to this dimension all corners of a cell are looked at; above, this many random ones, a lower bound of the maximum.
ALL_CORNERS, RANDOM_CORNERS = 8, 128
ITERATIONS, STEP, SHARPNESS = 150, 0.1, 8.0
HALVINGS = 50
LARGEST_BITS = 24


def corners(dimension: int, seed: int) -> Tensor:
    """Signs of the corners of a cell, (corners, dimension)."""
    if dimension <= ALL_CORNERS:
        return torch.tensor(list(product((-1.0, 1.0), repeat=dimension)), dtype=torch.float64)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (RANDOM_CORNERS, dimension))
    return torch.from_numpy(signs)


def largest_boxes(
    excess: Callable[[Tensor], Tensor], centre: np.ndarray, bound: np.ndarray, scales: np.ndarray, signs: Tensor
) -> np.ndarray:
    """Half sides of the largest box about ``centre`` with K <= eps at its corners, (scales, d); ``scales`` fall.

    Sides are at most ``bound``. Maximises sum log r_i by moving each log r_i against its share in the rise of K until
    all free sides have equal shares (the Karush-Kuhn-Tucker condition), then scales the box to the exact boundary.
    """
    centre_, bound_ = torch.from_numpy(centre), torch.from_numpy(bound).log()
    logs = bound_.clone()
    result = []
    for eps in scales:
        for iteration in range(ITERATIONS):
            logs = logs.detach().requires_grad_()
            rise = excess(centre_ + signs * logs.exp()).clamp_min(1e-300)
            smooth = torch.logsumexp(SHARPNESS * rise.log(), 0) / SHARPNESS - np.log(len(signs)) / SHARPNESS
            (gradient,) = torch.autograd.grad(smooth, logs)
            with torch.no_grad():
                free = (logs < bound_) | (gradient > gradient.mean())
                degree = gradient[free].sum().clamp_min(1e-3)
                share = gradient * free.sum() / degree
                step = STEP * (1 - iteration / ITERATIONS)
                logs = torch.minimum(logs + step * (1 - share).clamp(-2, 2), bound_)
                logs = torch.minimum(logs + 0.5 * ((np.log(eps) - smooth) / degree).clamp(-2, 2), bound_)
        logs = _to_boundary(excess, centre_, logs.detach(), bound_, eps, signs)
        result.append(logs.exp().numpy())
    return np.stack(result)


def largest_cubes(
    excess: Callable[[Tensor], Tensor], centre: np.ndarray, bound: np.ndarray, scales: np.ndarray, signs: Tensor
) -> np.ndarray:
    """Half sides of the largest cube (cut off at ``bound``) about ``centre`` with K <= eps at its corners."""
    centre_, bound_ = torch.from_numpy(centre), torch.from_numpy(bound).log()
    start = torch.full_like(bound_, float(bound_.max()))
    return np.stack([_to_boundary(excess, centre_, start, bound_, eps, signs).exp().numpy() for eps in scales])


@torch.no_grad()
def _to_boundary(
    excess: Callable[[Tensor], Tensor], centre: Tensor, logs: Tensor, bound: Tensor, eps: float, signs: Tensor
) -> Tensor:
    """``logs`` + t, cut off at ``bound``, with the largest t whose corners stay within eps, by bisection."""
    low, high = -40.0, 40.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        inside = excess(centre + signs * torch.minimum(logs + middle, bound).exp()).max() <= eps
        low, high = (middle, high) if inside else (low, middle)
    return torch.minimum(logs + low, bound)


def bits(half_sides: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """Mean bits a coordinate of cells with ``half_sides`` (..., d) in the box of half sides ``bound`` (d,)."""
    return np.log2(bound / half_sides).mean(-1)


@torch.no_grad()
def critical_bits(excess: Callable[[Tensor], Tensor], centre: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """log2 n_q of the coarsest uniform grid in [-max |w|, max |w|] from which on all finer ones keep K <= eps.

    One value an eps; nan where no grid that was tried does.
    """
    levels = np.unique(2 * np.round(2 ** np.arange(1, LARGEST_BITS, 0.25) / 2)).astype(int)
    weights = torch.from_numpy(centre)
    largest = float(weights.abs().max())
    rises = np.array([float(excess(to_grid(weights, int(n_q), largest))) for n_q in levels])
    # The rise of a single rounding jumps about; a level counts once every finer one stays within as well.
    worst = np.maximum.accumulate(rises[::-1])[::-1]
    return np.array([np.log2(levels[worst <= eps].min()) if (worst <= eps).any() else np.nan for eps in scales])
