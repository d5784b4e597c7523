"""One scheme on one checkpoint: what was evaluated of every variant, and its critical level at every tolerance."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from torch import nn

from smdl.compression.critical import critical_level, over_seeds
from smdl.compression.curve import CurvePoint, curve
from smdl.compression.levels import levels_of
from smdl.compression.loss import CompressionLoss
from smdl.compression.scheme import Axis
from smdl.compression.search import search
from smdl.compression.settings import Measurement, SchemeSettings
from smdl.compression.weights import Weights


def sweep(
    model: nn.Module,
    blocks: np.ndarray,
    reference: np.ndarray,
    calibration: np.ndarray,
    how: Measurement,
    settings: SchemeSettings,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of ``curves`` and of ``critical``, without the columns that name model, step and scheme.

    ``reference`` holds the losses of the uncompressed model on ``blocks``, shape (blocks,); ``settings`` are those of
    one scheme.
    """
    weights = Weights(model, how.dense_bits, calibration, how.batch_size)
    loss = CompressionLoss(weights, blocks, reference, how.batch_size)
    curves, critical = [], []
    for variant, scheme in settings.variants.items():
        levels = levels_of(settings.levels, scheme.axis)
        seeds = settings.seeds if scheme.random else settings.seeds[:1]
        if how.mode == "curve":
            points = curve(loss, scheme, levels, seeds)
        else:
            points = search(loss, scheme, levels, seeds, how.epsilons, how.error_rate)
        weights.forget()
        rows = curve_rows(points, scheme.axis, weights.elements)
        curves.append(rows.assign(variant=variant))
        critical.append(critical_rows(rows, how.epsilons).assign(variant=variant))
    return pd.concat(curves), pd.concat(critical)


def curve_rows(points: list[CurvePoint], axis: Axis, elements: int) -> pd.DataFrame:
    """A row per point, as in the table ``curves``."""
    return pd.DataFrame(
        {
            "seed": point.seed,
            "level": point.level,
            "coordinate": axis.coordinate(point.level),
            "unit": axis.unit,
            "delta_loss": point.delta.value,
            "delta_loss_se": point.se,
            "blocks": len(point.delta.differences),
            "tuned": point.tuned,
            "tuned_at_edge": point.at_edge,
            "bits_per_parameter": point.delta.bits / elements,
            "evaluations": point.evaluations,
        }
        for point in points
    )


def critical_rows(rows: pd.DataFrame, epsilons: Sequence[float]) -> pd.DataFrame:
    """A row per tolerance, as in the table ``critical``: each seed's crossing, and their mean."""
    found = []
    for epsilon in epsilons:
        crossings, bits = [], []
        for _, own in rows.groupby("seed", sort=False):
            columns = (own[name].tolist() for name in ("coordinate", "delta_loss", "delta_loss_se"))
            crossings.append(critical_level(*columns, epsilon, own["tuned_at_edge"].tolist()))
            ascending = own.sort_values("coordinate")
            bits.append(np.interp(crossings[-1].coordinate, ascending["coordinate"], ascending["bits_per_parameter"]))
        found.append(
            {
                "epsilon": epsilon,
                **vars(over_seeds(crossings)),
                "seeds": len(crossings),
                "unit": rows["unit"].iloc[0],
                "bits_per_parameter": np.mean(bits),
                "evaluations": int(rows["evaluations"].sum()),
            }
        )
    return pd.DataFrame(found)
