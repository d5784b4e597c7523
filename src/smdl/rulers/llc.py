"""The local learning coefficient, and its control, the localisation alone: a measure of flatness."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from smdl.rulers.ruler import Ruler, from_columns
from smdl.tables import empty
from smdl.tables.rulers import MEASURES as TABLE
from smdl.tables.study import CHECKPOINT

MEASURES = {
    "llc": "llc",
    "control": "llc control",
    "llc_minus_control": "llc minus control",
    "per_weight": "llc per weight",
}
SAMPLER = ("lr", "n_beta", "gamma")


class Llc(Ruler):
    """The local learning coefficient and its control at each setting; how it is sampled is set in the section llc."""

    gathered = ("llc", "checkpoints")
    version = 1

    @classmethod
    def measures(cls, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        llc = tables["llc"].merge(tables["checkpoints"][[*CHECKPOINT, "parameters"]], on=CHECKPOINT)
        llc = llc.assign(per_weight=llc["llc"] / llc["parameters"])
        parts = [
            from_columns(own, {column: f"{measure} ({setting})" for column, measure in MEASURES.items()}).assign(
                made_with=_made_with(own)
            )
            for setting, own in llc.groupby("setting", sort=False)
        ]
        return pd.concat(parts, ignore_index=True) if parts else empty(TABLE)


def _made_with(own: pd.DataFrame) -> np.ndarray:
    """The sampler's settings of each row, once per measure."""
    told = [", ".join(f"{name} {row[name]:g}" for name in SAMPLER) for row in own[list(SAMPLER)].to_dict("records")]
    return np.tile(told, len(MEASURES))
