"""Regret over checkpoints: how much worse than the best search a score is, by budget and over all of them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from smdl.foundation.interval import half_width
from smdl.tables.allocation import ALL_BUDGETS
from smdl.tables.study import CHECKPOINT


def regrets(frontier: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of the table ``regret``: for every quantizer and score, by budget and over all budgets.

    The interval is Student's over checkpoints, of each the mean over its budgets; ``blocks_se`` is the standard error
    that evaluation blocks alone leave in the mean.
    """
    rows = []
    for (quantizer, score), own in frontier.groupby(["quantizer", "score"], sort=False):
        for budget, part in _parts(own):
            by_checkpoint = part.groupby(CHECKPOINT, sort=False)
            means = by_checkpoint["regret"].mean().to_numpy()
            # Budgets of a checkpoint are judged by the same blocks: their errors do not average out.
            errors = by_checkpoint["regret_se"].mean().to_numpy()
            count = len(means)
            half = half_width(means)
            rows.append(
                {
                    "quantizer": quantizer,
                    "score": score,
                    "budget": budget,
                    "regret": means.mean(),
                    "low": means.mean() - half,
                    "high": means.mean() + half,
                    "blocks_se": float(np.sqrt((errors**2).sum()) / count),
                    "worst": part["regret"].max(),
                    "checkpoints": count,
                }
            )
    return rows


def _parts(own: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    yield ALL_BUDGETS, own
    for budget, part in own.groupby("budget"):
        yield f"{budget:g}", part
