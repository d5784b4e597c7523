"""One scheme on one checkpoint: every variant's curve, and its critical level at every tolerance."""

import math
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from smdl.compression.critical import critical_level
from smdl.compression.curve import CurvePoint, curve
from smdl.compression.loss import CompressionLoss
from smdl.compression.quantize import Quantize
from smdl.compression.scheme import Axis, Scheme

SCHEMES: dict[str, type] = {"quantize": Quantize}


def sweep(
    model: nn.Module, blocks: np.ndarray, reference: np.ndarray, scheme: str, settings: dict[str, Any]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of ``curves`` and of ``critical``, without the columns that name model, step and scheme.

    ``reference`` holds the losses of the uncompressed model on ``blocks``, shape (blocks,).
    """
    loss = CompressionLoss(model, blocks, reference, settings["batch_size"], settings["dense_bits"])
    curves, critical = [], []
    for variant, own in settings["variants"].items():
        built: Scheme = SCHEMES[scheme](**own)
        points = curve(loss, built, settings["levels"], settings["seeds"])
        rows = _curve_rows(points, built.axis, loss.weights.elements)
        curves.append(rows.assign(variant=variant))
        critical.append(_critical_rows(rows, settings["epsilons"]).assign(variant=variant))
    return pd.concat(curves), pd.concat(critical)


def _curve_rows(points: list[CurvePoint], axis: Axis, elements: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "seed": point.seed,
            "level": point.level,
            "coordinate": math.log2(point.level) if axis.logarithmic else point.level,
            "unit": axis.unit,
            "delta_loss": point.delta.value,
            "delta_loss_se": point.delta.se,
            "tuned": point.tuned,
            "bits_per_parameter": point.delta.bits / elements,
            "evaluations": point.evaluations,
        }
        for point in points
    )


def _critical_rows(rows: pd.DataFrame, epsilons: list[float]) -> pd.DataFrame:
    """The crossings of the curve's mean over seeds."""
    mean = rows.groupby("level", sort=False).mean(numeric_only=True)
    found = []
    for epsilon in epsilons:
        crossing = critical_level(
            mean["coordinate"].tolist(), mean["delta_loss"].tolist(), mean["delta_loss_se"].tolist(), epsilon
        )
        order = np.argsort(mean["coordinate"].to_numpy())
        bits = np.interp(
            crossing.level, mean["coordinate"].to_numpy()[order], mean["bits_per_parameter"].to_numpy()[order]
        )
        found.append(
            {
                "epsilon": epsilon,
                **vars(crossing),
                "unit": rows["unit"].iloc[0],
                "bits_per_parameter": bits,
                "evaluations": int(rows["evaluations"].sum()),
            }
        )
    return pd.DataFrame(found)
