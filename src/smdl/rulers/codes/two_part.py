"""The two-part description length: bits of the weights plus bits of the data, and the precision where it is least."""

from dataclasses import dataclass
from math import log

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class LeastTotal:
    """The best precision of a curve, with its bits; ``inside`` unless it is an end of the curve."""

    levels: int
    weight_bits: float
    data_bits: float
    inside: bool

    @property
    def total_bits(self) -> float:
        """Bits of weights and data."""
        return self.weight_bits + self.data_bits


def critical_precision(levels: np.ndarray, delta_losses: np.ndarray, epsilon: float) -> int | None:
    """The coarsest level from which on the rise of the loss stays within ``epsilon`` (nats); None if none is."""
    order = np.argsort(levels)
    beyond = np.flatnonzero(~(delta_losses[order] <= epsilon))
    first = beyond[-1] + 1 if len(beyond) else 0
    return int(levels[order][first]) if first < len(order) else None


def data_bits(loss: float | np.ndarray, tokens: float) -> float | np.ndarray:
    """Bits of ``tokens`` tokens at mean cross-entropy ``loss`` (nats per token): n L_n / ln 2."""
    return tokens * loss / log(2)


def least_total(levels: np.ndarray, weight_bits: np.ndarray, losses: np.ndarray, tokens: float) -> LeastTotal:
    """The precision that minimises bits of weights plus bits of data, of those given; the coarser of two equal ones.

    Points whose loss is not finite are passed over: no finite code sends data under them.
    """
    curve = pd.DataFrame({"levels": levels, "weights": weight_bits, "data": data_bits(np.asarray(losses), tokens)})
    curve = curve[np.isfinite(curve["data"])].sort_values("levels")
    best = int((curve["weights"] + curve["data"]).to_numpy().argmin())
    row = curve.iloc[best]
    return LeastTotal(int(row["levels"]), row["weights"], row["data"], 0 < best < len(curve) - 1)
