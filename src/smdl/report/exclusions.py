"""Every estimate of a study that is not plainly in order."""

import numpy as np
import pandas as pd

from smdl.analysis.regression import in_window

OK = "ok"


def exclusions(
    llc: pd.DataFrame, critical: pd.DataFrame, windows: dict[str, list[int]], admit: list[str]
) -> pd.DataFrame:
    """The rows of the table ``exclusions``, from those of ``llc`` and ``critical``.

    ``windows`` holds first and last step of each model's regression, ``admit`` the LLC statuses that enter one.
    """
    estimates = llc[llc["status"] != OK].assign(
        what="llc", scheme=None, variant=None, epsilon=np.nan, used=lambda rows: rows["status"].isin(admit)
    )
    levels = critical[critical["status"] != OK].assign(
        what="critical level", reason=_crossing, used=lambda rows: rows["level"].notna()
    )
    names = ["model", "step", "what", "scheme", "variant", "epsilon", "status", "reason", "used"]
    rows = pd.concat([estimates[names], levels[names]], ignore_index=True)
    return rows.assign(in_window=in_window(rows, windows), used=rows["used"].astype(bool))


def _crossing(levels: pd.DataFrame) -> pd.Series:
    meaning = {
        "all below": "delta loss stays below the tolerance at every level",
        "all above": "delta loss is above the tolerance at every level",
        "not monotone": "delta loss crosses the tolerance more than once, or is above it at the finest level",
        "tuned at edge": "beside the crossing the tuned value is the outermost considered: the level may be a bound",
    }
    return levels["status"].map(meaning)
