"""Learning coefficients in closed form: deep linear networks, reduced-rank regression, normal crossings."""

import math
from collections.abc import Sequence
from fractions import Fraction


def deep_linear(widths: Sequence[int], rank: int) -> tuple[Fraction, int]:
    """Learning coefficient and multiplicity of a deep linear network (Aoyagi, Entropy 2024, 26(3), theorem 1).

    ``widths`` are H_0 (inputs) to H_L (outputs), L >= 1; the true map has the given ``rank``. Raises ValueError where
    the network cannot have that rank.
    """
    if not 0 <= rank <= min(widths):
        raise ValueError(f"a network of widths {tuple(widths)} cannot have rank {rank}")
    sigma = _smallest([width - rank for width in widths])
    layers, total = len(sigma) - 1, sum(sigma)
    ceiling = -(-total // layers)
    a = total - (ceiling - 1) * layers
    pairs = Fraction(total**2 - sum(m * m for m in sigma), 2)
    lam = (
        Fraction(-(rank**2) + rank * (widths[0] + widths[-1]), 2)
        + Fraction(a * (layers - a), 4 * layers)
        - Fraction(layers * (layers - 1), 4) * Fraction(total, layers) ** 2
        + pairs / 2
    )
    return lam, a * (layers - a) + 1


def _smallest(excess: Sequence[int]) -> list[int]:
    """Aoyagi's set Sigma of the l + 1 smallest of the M_s = H_s - r, ties taken together."""
    ordered = sorted(excess)
    for layers in range(1, len(ordered)):
        sigma, least = ordered[: layers + 1], (*ordered[layers + 1 :], math.inf)[0]
        if max(sigma) < least and layers * max(sigma) <= sum(sigma) < layers * least:
            return sigma
    raise AssertionError(f"no such set for {ordered}; Aoyagi's theorem says there is one")


def reduced_rank(inputs: int, outputs: int, hidden: int, rank: int) -> tuple[Fraction, int]:
    """Learning coefficient and multiplicity of reduced-rank regression (Aoyagi and Watanabe, Neural Networks 2005)."""
    m, n, h, r = inputs, outputs, hidden, rank
    if m + h < n + r:
        return Fraction(h * m - h * r + n * r, 2), 1
    if n + h < m + r:
        return Fraction(h * n - h * r + m * r, 2), 1
    if m + n < h + r:
        return Fraction(m * n, 2), 1
    eighths = -((h + r) ** 2) - m**2 - n**2 + 2 * (h + r) * (m + n) + 2 * m * n
    odd = (m + n + h + r) % 2
    return Fraction(eighths + odd, 8), 1 + odd


def crossing(exponents: Sequence[int]) -> tuple[Fraction, int]:
    """Learning coefficient and multiplicity of prod w_i^{2 k_i} at the origin, for exponents k_i, some positive."""
    largest = max(exponents)
    return Fraction(1, 2 * largest), sum(k == largest for k in exponents)
