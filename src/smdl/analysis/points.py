"""The points of the study: critical level and LLC of every checkpoint side by side."""

import pandas as pd

from smdl.compression.settings import Headline
from smdl.tables.study import CHECKPOINT

CURVE = ["scheme", "variant", "epsilon"]
NO_WINDOW = (1, 0)
"""Of a model that no line is fitted to: no step lies between."""


def in_window(rows: pd.DataFrame, windows: dict[str, list[int]]) -> pd.Series:
    """Whether the step of each of ``rows`` (columns model, step) lies in the window of its model."""
    ends = [windows.get(model, NO_WINDOW) for model in rows["model"]]
    inside = [first <= step <= last for (first, last), step in zip(ends, rows["step"], strict=True)]
    return pd.Series(inside, index=rows.index, dtype=bool)


def marked(llc: pd.DataFrame, windows: dict[str, list[int]], admit: list[str]) -> pd.DataFrame:
    """The rows of ``llc`` with the columns that say which of them enter a regression.

    ``windows`` holds first and last step of each model's regression, ``admit`` the statuses that enter one.
    """
    return llc.assign(in_window=in_window(llc, windows), admitted=llc["status"].isin(admit))


def points(
    critical: pd.DataFrame, llc: pd.DataFrame, checkpoints: pd.DataFrame, headline: Headline, setting: str
) -> pd.DataFrame:
    """The rows of the table ``points``, from those of ``critical``, ``llc`` and ``checkpoints``.

    Every checkpoint has a row per setting of the sampler and per scheme, variant and tolerance of its model, also where
    it has no critical level, so that what is left out can be counted. ``headline`` names scheme, variant and tolerance
    of the study's headline, ``setting`` its setting.
    """
    of_llc = llc[[*CHECKPOINT, "setting", "llc", "llc_se", "control", "loss", "status", "in_window", "admitted"]]
    of_llc = of_llc.merge(checkpoints[[*CHECKPOINT, "norm"]], on=CHECKPOINT, how="left")
    studied = of_llc.rename(columns={"status": "llc_status"}).merge(
        critical[["model", *CURVE]].drop_duplicates(), on="model"
    )
    measured = critical[[*CHECKPOINT, *CURVE, "coordinate", "coordinate_se", "unit", "bits_per_parameter", "status"]]
    rows = studied.merge(measured, on=[*CHECKPOINT, *CURVE], how="left")
    return rows.assign(
        admitted=rows["admitted"] & rows["coordinate"].notna(),
        headline=(rows[CURVE] == pd.Series(dict(headline))[CURVE]).all(axis=1) & (rows["setting"] == setting),
    )
