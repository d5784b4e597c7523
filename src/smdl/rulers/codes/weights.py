"""The coding lengths of one checkpoint: at a stated precision, and along its quantization curve as two-part totals.

Tensors are the views of smdl.models.views, which the schemes see too: query, key and value apart, tied weights
once.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd

from smdl.compression.grid import codes
from smdl.compression.schemes.quantize import Quantize
from smdl.compression.weights import Weights
from smdl.models.views import WeightView
from smdl.rulers.codes.lengths import Coder, coding_lengths
from smdl.rulers.codes.quantized import Quantized, quantize
from smdl.rulers.codes.two_part import critical_precision, data_bits, least_total


def stated_lengths(weights: Weights, levels: Sequence[int], coder: Coder) -> pd.DataFrame:
    """Rows (levels, code, lengths) of all weights, each tensor on a grid up to its largest weight."""
    return pd.DataFrame(
        {"levels": n_q, **row}
        for n_q in levels
        for row in coding_lengths(
            ((array, quantize(array, n_q)) for array in map(partial(_array, weights), weights.views)), coder
        )
    )


def curve_lengths(weights: Weights, curve: pd.DataFrame, scheme: Quantize, coder: Coder) -> pd.DataFrame:
    """Rows (levels, delta_loss, code, lengths) at every precision of ``curve``: columns level, delta_loss and tuned.

    What is coded is what ``scheme`` put into the model when the loss was taken, at the tuned value of each row; weights
    that it does not touch are sent as they are.
    """
    views = weights.select(scheme.parameters)
    dense = weights.elements - sum(view.elements for view in views)
    rows = []
    for point in curve.sort_values("level").itertuples():
        grids = quantized(weights, scheme, int(point.level), None if pd.isna(point.tuned) else point.tuned)
        tensors = ((_array(weights, view), grid) for view, grid in grids)
        for row in coding_lengths(tensors, coder, dense):
            rows.append({"levels": int(point.level), "delta_loss": point.delta_loss, **row})
    return pd.DataFrame(rows)


def quantized(
    weights: Weights, scheme: Quantize, levels: int, tuned: float | None
) -> Iterator[tuple[WeightView, Quantized]]:
    """The codes that ``scheme`` gives to every view that it quantizes, one after another."""
    for view, m in scheme.bounds(weights, tuned).items():
        yield view, Quantized(codes(weights[view], levels, m).flatten().int().cpu().numpy(), levels, m)


def _array(weights: Weights, view: WeightView) -> np.ndarray:
    return weights[view].float().cpu().numpy()


def two_part_totals(lengths: pd.DataFrame, loss: float, tokens: float, epsilons: Sequence[float]) -> pd.DataFrame:
    """Rows (code, choice, epsilon, levels, bits) at the precision of the least total and at every critical precision.

    ``lengths`` is what ``curve_lengths`` gave, ``loss`` the uncompressed loss (nats per token). A tolerance that no
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
