"""How near the calibration comes to the truth."""

from typing import Any

import pandas as pd

TOLERANCE = 0.2
STANDARD_ERRORS = 3


def summary(calibration: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of the table ``calibration_summary``: one a family, and one for all."""
    groups = [*calibration.groupby("family", sort=False), ("all", calibration)]
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
