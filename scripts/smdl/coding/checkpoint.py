"""The coding lengths of one checkpoint: at a stated precision, and along its quantization curve as two-part totals."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from smdl.coding.lengths import Coder, coding_lengths
from smdl.coding.two_part import critical_precision, data_bits, least_total


@dataclass(frozen=True)
class Grid:
    """What the curve's quantization did: which tensors, and one bound for all (``global``) or one each (``tensor``)."""

    scope: str
    parameters: str


def stated_lengths(weights: dict[str, np.ndarray], levels: list[int], coder: Coder) -> pd.DataFrame:
    """Rows (levels, code, lengths) of all weights, each tensor on a grid up to its largest weight."""
    return pd.DataFrame({"levels": n_q, **row} for n_q in levels for row in coding_lengths(weights, n_q, coder))


def curve_lengths(weights: dict[str, np.ndarray], curve: pd.DataFrame, grid: Grid, coder: Coder) -> pd.DataFrame:
    """Rows (levels, delta_loss, code, lengths) at every precision of ``curve``: columns level, delta_loss and tuned.

    The weights are coded as they were quantized for the loss: ``tuned`` is the clip, and what was not quantized is
    sent as it is.
    """
    quantized = {name: w for name, w in weights.items() if grid.parameters == "all" or w.ndim == 2}
    dense = sum(w.size for w in weights.values()) - sum(w.size for w in quantized.values())
    largest = {name: float(np.abs(w).max()) for name, w in quantized.items()}
    if grid.scope == "global":
        largest = dict.fromkeys(largest, max(largest.values()))
    rows = []
    for point in curve.sort_values("level").itertuples():
        clip = 1.0 if pd.isna(point.tuned) else point.tuned
        bounds = {name: clip * m for name, m in largest.items()}
        for row in coding_lengths(quantized, int(point.level), coder, bounds, dense):
            rows.append({"levels": int(point.level), "delta_loss": point.delta_loss, **row})
    return pd.DataFrame(rows)


def two_part_totals(lengths: pd.DataFrame, loss: float, tokens: float, epsilons: list[float]) -> pd.DataFrame:
    """Rows (code, choice, epsilon, levels, bits) at the precision of the least total and at every critical precision.

    ``lengths`` is what ``curve_lengths`` gave, ``loss`` the uncompressed loss (nats a token). A tolerance that no
    precision keeps has no row.
    """
    rows = []
    for code, own in lengths.groupby("code", sort=False):
        own = own.sort_values("levels").set_index("levels")
        best = least_total(own.index.to_numpy(), own["bits"].to_numpy(), loss + own["delta_loss"].to_numpy(), tokens)
        choices = [("least total", np.nan, best.levels, best.inside)]
        for epsilon in epsilons:
            levels = critical_precision(own.index.to_numpy(), own["delta_loss"].to_numpy(), epsilon)
            if levels is not None:
                choices.append((f"critical at {epsilon:g}", epsilon, levels, True))
        for choice, epsilon, levels, inside in choices:
            weight_bits = own.loc[levels, "bits"]
            data = data_bits(loss + own.loc[levels, "delta_loss"], tokens)
            rows.append(
                {
                    "code": code,
                    "choice": choice,
                    "epsilon": epsilon,
                    "levels": levels,
                    "inside": inside,
                    "weight_bits": weight_bits,
                    "data_bits": data,
                    "total_bits": weight_bits + data,
                }
            )
    return pd.DataFrame(rows)
