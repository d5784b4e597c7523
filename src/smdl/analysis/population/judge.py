"""Verdicts on the expectations, from the tables of the statistics."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from smdl.analysis.population.cases import control_beside
from smdl.analysis.population.settings import CONTROL, Claim, Condition, Expectations

TABLE_OF = {
    "tau": "associations",
    "partial_tau": "associations",
    "granulated_tau": "factors",
    "prediction_gain": "predictions",
    "reliability": "reliability",
}
SIDES = ("confirmed", "refuted")
NOTHING = (np.nan, np.nan, np.nan)


def judge(expectations: Expectations, tables: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """The rows of the table ``expectations``: a row per claim, family, side and condition, with the claim's verdict.

    ``tables`` are those of the statistics by name. A claim is confirmed (refuted) where all conditions of that side
    hold in as many families as it asks for, and undecided where neither or both are so. A condition on what could not
    be computed does not hold.
    """
    rows = []
    for name, claim in expectations.claims.items():
        own = [
            {"claim": name, "family": family, "side": side, **judged, "says": claim.says}
            for family in claim.families
            for side in SIDES
            for judged in _conditions(claim, side, family, expectations, tables)
        ]
        rows += [{**row, "verdict": _verdict(claim, own)} for row in own]
    return rows


def _verdict(claim: Claim, rows: list[dict[str, Any]]) -> str:
    decided = [
        side
        for side in SIDES
        if sum(
            all(row["holds"] == "yes" for row in rows if (row["family"], row["side"]) == (family, side))
            for family in claim.families
        )
        >= claim.families_needed
    ]
    return decided[0] if len(decided) == 1 else "undecided"


def _conditions(
    claim: Claim, side: str, family: str, expectations: Expectations, tables: Mapping[str, pd.DataFrame]
) -> Iterator[dict[str, Any]]:
    for condition in getattr(claim, side):
        value, low, high = _found(condition.statistic, claim.predictor, claim.stage, family, tables)
        rivals = {
            rival: _found(condition.statistic, rival, claim.stage, family, tables)[0]
            for rival in (_named(rival, claim, expectations) for rival in condition.above)
        }
        limits = list(_limits(condition, value, low, high, rivals))
        known = all(np.isfinite(number) for number, _, _ in limits)
        yield {
            "statistic": condition.statistic,
            "value": value,
            "low": low,
            "high": high,
            "threshold": "; ".join(text for _, _, text in limits),
            "holds": ("yes" if all(holds for _, holds, _ in limits) else "no") if known else "not known",
        }


def _limits(
    condition: Condition, value: float, low: float, high: float, rivals: Mapping[str, float]
) -> Iterator[tuple[float, bool, str]]:
    """Of each limit the number that must be known, whether it holds, and its words."""
    if condition.at_least is not None:
        yield value, value >= condition.at_least, f"at least {condition.at_least:g}"
    if condition.low_above is not None:
        yield low, low > condition.low_above, f"lower end above {condition.low_above:g}"
    if condition.high_below is not None:
        yield high, high < condition.high_below, f"upper end below {condition.high_below:g}"
    for rival, its in rivals.items():
        yield value + its, value > its, f"above that of {rival}, {its:.3f}"


def _named(rival: str, claim: Claim, expectations: Expectations) -> str:
    return control_beside(claim.predictor, expectations) if rival == CONTROL else rival


def _found(
    statistic: str, predictor: str, stage: str, family: str, tables: Mapping[str, pd.DataFrame]
) -> tuple[float, float, float]:
    """A family's statistic and its interval; NaN where the tables do not have it."""
    rows = tables[TABLE_OF[statistic]]
    rows = rows[rows["stage"] == stage]
    if statistic != "reliability":
        rows = rows[(rows["predictor"] == predictor) & (rows["family"] == family) & (rows["outcome"] == "")]
    if "factor" in rows:
        rows = rows[rows["factor"] == ""]
    columns = [statistic, f"{statistic}_low", f"{statistic}_high"]
    return tuple(rows[columns].iloc[0].astype(float)) if len(rows) else NOTHING
