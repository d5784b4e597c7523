"""What every checkpoint has: its loss, the Euclidean norm of its weights and their number."""

from collections.abc import Mapping

import pandas as pd

from smdl.rulers.ruler import Ruler, from_columns


class Checkpoints(Ruler):
    """Loss, norm and number of weights of every checkpoint; the loss is what partial correlations hold fixed."""

    gathered = ("checkpoints",)
    version = 1

    @classmethod
    def measures(cls, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        return from_columns(tables["checkpoints"], {name: name for name in ("loss", "norm", "parameters")})
