"""The local learning coefficient, and its control: the same chains with n_beta = 0, a measure of flatness."""

from collections.abc import Mapping

import pandas as pd

from smdl.rulers.ruler import Ruler, from_columns


class Llc(Ruler):
    """The local learning coefficient and its control; how it is sampled is set in the section llc."""

    gathered = ("llc",)
    version = 1

    @classmethod
    def measures(cls, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        names = {"llc": "llc", "control": "llc control", "llc_minus_control": "llc minus control"}
        return from_columns(tables["llc"], names)
