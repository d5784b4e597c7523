"""A mixture of two binomials, the smallest mixture over a finite sample space."""

from math import comb
from typing import Any

TRIALS = 2


def binomial_mixture(w: Any) -> list[Any]:
    """Probabilities of 0..2 successes under (1 - a) Bin(2, s) + a Bin(2, t), each (...), for w = (a, s, t) (..., 3).

    Plain arithmetic, for arrays and tensors alike.
    """
    share, first, second = w[..., 0], w[..., 1], w[..., 2]
    return [
        comb(TRIALS, successes)
        * (
            (1 - share) * first**successes * (1 - first) ** (TRIALS - successes)
            + share * second**successes * (1 - second) ** (TRIALS - successes)
        )
        for successes in range(TRIALS + 1)
    ]
