"""What each matrix costs alone: the model with one matrix quantized, at every number of bits."""

import time
from typing import Any

import numpy as np
import pandas as pd

from smdl.allocation.bench import Bench
from smdl.allocation.divergence import Reference
from smdl.allocation.kept import Kept

QUANTILE = 0.99


def tensor_errors(bench: Bench, reference: Reference, kept: Kept) -> pd.DataFrame:
    """Rows of the table ``tensor_errors`` of one quantizer: every matrix alone at every number of bits."""
    options = range(len(bench.bits))
    parts = [
        kept.rows(name, lambda place=place: [_row(bench, reference, place, option) for option in options])
        for place, name in enumerate(bench.names)
    ]
    return pd.concat(parts, ignore_index=True)


def _row(bench: Bench, reference: Reference, place: int, option: int) -> dict[str, Any]:
    started = time.monotonic()
    with bench.holding({place: option}) as model:
        found = reference.compare(model)
    changes = found.losses - reference.losses
    divergences = found.divergences.ravel()
    norm = float(bench.original(place).double().square().sum())
    return {
        "tensor": bench.names[place],
        "elements": int(bench.elements[place]),
        "bits": bench.bits[option],
        "size": int(bench.sizes[place, option]),
        "relative_error": float(bench.change(place, option).double().square().sum()) / norm if norm else 0.0,
        "delta_loss": changes.mean(),
        "delta_loss_se": changes.std(ddof=1) / np.sqrt(len(changes)),
        "kl": divergences.mean(),
        "kl_median": np.median(divergences),
        "kl_99": np.quantile(divergences, QUANTILE),
        "seconds": time.monotonic() - started,
    }
