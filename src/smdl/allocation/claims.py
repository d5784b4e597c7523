"""What was claimed of the scores before they were first run on all checkpoints, and what came out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from smdl.foundation.interval import half_width
from smdl.tables.study import CHECKPOINT

CONFIRMED, REFUTED, UNDECIDED = "confirmed", "refuted", "undecided"
# Regrets that differ by no more than this many nats per token are equal.
MARGIN = 0.005


@dataclass(frozen=True)
class Claim:
    """A claim on the regrets of two scores, and the verdict expected before the first full run."""

    score: str
    relation: Literal["below", "equal to"]
    other: str
    expected: str


# Committed before the first full run.
CLAIMS = (
    Claim("measured_kl", "below", "uniform", CONFIRMED),
    Claim("hessian_trace", "below", "uniform", CONFIRMED),
    Claim("heavy_tails", "below", "uniform", REFUTED),
    Claim("restricted_llc", "below", "uniform", CONFIRMED),
    Claim("ladder", "below", "uniform", CONFIRMED),
    # In the trace regime the restricted LLC is a rescaled trace of the Hessian.
    Claim("restricted_llc", "equal to", "hessian_trace", CONFIRMED),
    # What theory would have: directions that cost too much to matter are given no bits.
    Claim("ladder", "below", "hessian_trace", UNDECIDED),
    Claim("ladder", "below", "measured_kl", REFUTED),
)


def judged_claims(frontier: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Rows of the table ``claims``: every claim for every quantizer.

    The estimate is the mean over checkpoints of the other's regret less the score's, of each the mean over its budgets,
    with Student's 95 % interval. ``below`` holds where that lies above 0, ``equal to`` where it lies within the margin.
    """
    for quantizer, own in frontier.groupby("quantizer", sort=False):
        regrets = own.pivot_table(index=CHECKPOINT, columns="score", values="regret")
        for claim in CLAIMS:
            differences = (regrets[claim.other] - regrets[claim.score]).to_numpy()
            mean = differences.mean()
            half = half_width(differences)
            yield {
                "quantizer": quantizer,
                "claim": f"regret of {claim.score} {claim.relation} that of {claim.other}",
                "expected": claim.expected,
                "estimate": mean,
                "low": mean - half,
                "high": mean + half,
                "checkpoints": len(differences),
                "verdict": _verdict(claim, mean - half, mean + half),
            }


def _verdict(claim: Claim, low: float, high: float) -> str:
    if claim.relation == "below":
        return CONFIRMED if low > 0 else REFUTED if high < 0 else UNDECIDED
    if low > -MARGIN and high < MARGIN:
        return CONFIRMED
    return REFUTED if low > MARGIN or high < -MARGIN else UNDECIDED
