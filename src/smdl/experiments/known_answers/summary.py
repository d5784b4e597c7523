"""How near the estimates come to the truth."""

from typing import Any

import pandas as pd

TOLERANCE = 0.2
STANDARD_ERRORS = 3


def summary(known_answers: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of the table ``known_answers_summary``: one per family, and one for all."""
    groups = [*known_answers.groupby("family", sort=False), ("all", known_answers)]
    return [{"family": family, **_figures(rows)} for family, rows in groups]


def _figures(rows: pd.DataFrame) -> dict[str, Any]:
    error = rows["lambda_hat"] - rows["lambda_true"]
    relative = error / rows["lambda_true"]
    near = (relative.abs() <= TOLERANCE) | (error.abs() <= STANDARD_ERRORS * rows["se"])
    return {
        "cases": len(rows),
        "ok": int((rows["status"] == "ok").sum()),
        "median_relative_error": relative.abs().median(),
        "bias": relative.median(),
        "within": near.mean(),
    }
