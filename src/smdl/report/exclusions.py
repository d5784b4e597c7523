"""Every estimate of a study that is not plainly in order."""

import numpy as np
import pandas as pd

from smdl.tables.report import EXCLUSIONS

OK = "ok"


def exclusions(llc: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """The rows of the table ``exclusions``, from those of ``llc`` and ``points``."""
    estimates = llc[llc["status"] != OK].assign(
        what="llc", scheme=None, variant=None, epsilon=np.nan, used=lambda rows: rows["admitted"]
    )
    measured = points.dropna(subset=["status"]).drop_duplicates(["model", "step", "scheme", "variant", "epsilon"])
    levels = measured[measured["status"] != OK].assign(
        what="critical level", setting=None, reason=_crossing, used=lambda rows: rows["coordinate"].notna()
    )
    names = [column.name for column in EXCLUSIONS.columns]
    rows = pd.concat([estimates[names], levels[names]], ignore_index=True)
    return rows.astype({"in_window": bool, "used": bool})


def _crossing(levels: pd.DataFrame) -> pd.Series:
    meaning = {
        "all below": "delta loss stays below the tolerance at every level",
        "all above": "delta loss is above the tolerance at every level",
        "not monotone": "delta loss crosses the tolerance more than once, or is above it at the finest level",
        "tuned at edge": "beside the crossing the tuned value is the outermost considered: the level may be a bound",
    }
    return levels["status"].map(meaning)
