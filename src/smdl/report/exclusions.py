"""Every estimate of a study that is not plainly in order."""

import numpy as np
import pandas as pd

OK = "ok"


def exclusions(llc: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """The rows of the table ``exclusions``, from those of ``llc`` and ``points``."""
    estimates = llc[llc["status"] != OK].assign(
        what="llc", scheme=None, variant=None, epsilon=np.nan, used=lambda rows: rows["admitted"]
    )
    measured = points.dropna(subset=["status"])
    levels = measured[measured["status"] != OK].assign(
        what="critical level", reason=_crossing, used=lambda rows: rows["coordinate"].notna()
    )
    names = ["model", "step", "what", "scheme", "variant", "epsilon", "status", "reason", "in_window", "used"]
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
