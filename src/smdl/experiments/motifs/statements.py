"""The statements about trained weights and mosaics, the tests that decide them, and what was expected of each.

Every test is of one form: an estimate, one value per seed, and whether the 95 % t interval of its mean lies above a
margin (the statement holds), below it (refuted), or around it (undecided). Expectations and margins were written and
committed before the first full run, after a pilot with other seeds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from smdl.experiments.motifs.arms import FREE, GPT_NEOX, MOTIFS, QUANTIZED_AFTER, mosaic
from smdl.experiments.motifs.complexity import ALL, LAYERS, OF_THE_SOURCE, OWN
from smdl.experiments.motifs.runs import INITIALISED, TRAINED
from smdl.experiments.motifs.settings import Margins, Mosaics
from smdl.foundation.interval import half_width

HOLDS, REFUTED, UNDECIDED, MIXED = "holds", "refuted", "undecided", "mixed"


@dataclass(frozen=True)
class Statement:
    """A statement: its short name, what it says, what decides it, and the verdict expected before the first run."""

    name: str
    claim: str
    test: str
    expected: str


SIMPLER = Statement(
    "a: simpler",
    "Trained weights are algorithmically simpler than the same model's weights at initialisation.",
    "relative fall of each measure of the source from initialisation to the end, in layers, both architectures",
    MIXED,
)
STRUCTURE = Statement(
    "a: structure",
    "What is simple in trained weights is their arrangement, not which values occur.",
    "relative fall of each measure of the source from weights permuted within tensors, in layers, both architectures",
    MIXED,
)
HARNESSED = Statement(
    "b: harnessed",
    "Compression makes use of it: schemes lose less on trained weights than on these permuted within tensors.",
    "relative fall of the squared error of k-means motifs of 4 and of 16 and of factorization, in layers, both models",
    MIXED,
)
COMPARABLE = Statement(
    "c: comparable",
    "A mosaic of motifs is as good as an unconstrained network.",
    "loss of free training less that of the headline's mosaic, same seed (nats)",
    HOLDS,
)
SIMPLER_THAN_FREE = Statement(
    "c: simpler than free",
    "A mosaic of motifs is algorithmically simpler than an unconstrained network.",
    "relative fall of the float32 bytes under lzma from free training to the headline's mosaic",
    HOLDS,
)
SHORTER_THAN_QUANTIZED = Statement(
    "c: shorter than quantized",
    "A mosaic of motifs is shorter than the unconstrained network quantized after training to a loss as good.",
    "relative fall of the file from the shortest quantized one within the margin of the loss to the headline's mosaic",
    REFUTED,
)
LOWER_LLC = Statement(
    "llc: lower",
    "A mosaic of motifs has a lower learning coefficient than an unconstrained network.",
    "relative fall of the LLC from free training to the headline's mosaic, where both are ok",
    HOLDS,
)
POSITIVE_CONTROL = Statement(
    "control",
    "The measures of the source see a mosaic of few motifs: it is simpler than the unconstrained network.",
    "relative fall of each measure of the source from free training to the random mosaic of least capacity",
    HOLDS,
)
STATEMENTS = (
    SIMPLER,
    STRUCTURE,
    HARNESSED,
    COMPARABLE,
    SIMPLER_THAN_FREE,
    SHORTER_THAN_QUANTIZED,
    LOWER_LLC,
    POSITIVE_CONTROL,
)


def tests(
    models: pd.DataFrame, complexity: pd.DataFrame, errors: pd.DataFrame, settings: Mosaics
) -> list[dict[str, Any]]:
    """Rows of the table ``motifs_tests``."""
    margins = settings.margins
    return [
        *_of_training(complexity, margins),
        *_of_errors(errors, margins),
        *_of_mosaics(models, settings),
        *_of_control(complexity, settings),
    ]


def verdicts(tests: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of the table ``motifs_verdicts``: what all deciding tests of a statement say, or mixed."""
    rows = []
    for statement in STATEMENTS:
        own = tests[(tests["statement"] == statement.name) & tests["decides"]]
        found = set(own["verdict"])
        rows.append(
            {
                "statement": statement.name,
                "claim": statement.claim,
                "test": statement.test,
                "expected": statement.expected,
                "verdict": found.pop() if len(found) == 1 else MIXED if found else UNDECIDED,
            }
        )
    return rows


def judged(values: np.ndarray, margin: float) -> dict[str, Any]:
    """Mean of ``values`` (seeds,), its t interval, and the verdict against ``margin``; NaN are left out."""
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    mean, half = (values.mean() if len(values) else np.nan), half_width(values)
    low, high = mean - half, mean + half
    verdict = HOLDS if low > margin else REFUTED if high < margin else UNDECIDED
    return {"estimate": mean, "low": low, "high": high, "margin": margin, "seeds": len(values), "verdict": verdict}


def fall(before: pd.Series, after: pd.Series) -> np.ndarray:
    """Relative fall from ``before`` to ``after``, seed by seed of those that both have."""
    both = pd.concat([before, after], axis=1, join="inner", keys=["before", "after"])
    return (1 - both["after"] / both["before"]).to_numpy()


def _row(statement: Statement, architecture: str, what: str, decides: bool, values: np.ndarray, margin: float) -> dict:
    where = {"statement": statement.name, "architecture": architecture, "what": what, "decides": decides}
    return {**where, **judged(values, margin)}


def _of_training(complexity: pd.DataFrame, margins: Margins) -> Iterator[dict[str, Any]]:
    """From initialisation to the end, and from permuted weights to those in order, by every measure."""
    free = complexity[complexity["arm"] == FREE]
    for (architecture, part, measure), own in free.groupby(["architecture", "part", "measure"], sort=False):
        of = dict(iter(own.set_index("seed").groupby(["stage", "weights"])["value"]))
        decides = measure in OF_THE_SOURCE and part == LAYERS
        values = fall(of[INITIALISED, OWN], of[TRAINED, OWN])
        yield _row(SIMPLER, architecture, f"{part}, {measure}", decides, values, margins.complexity)
        for stage, weights in of:
            if weights != OWN:
                what = f"{part}, {measure}, {stage}, {weights}"
                decisive = decides and (stage, weights) == (TRAINED, "permuted")
                values = fall(of[stage, weights], of[stage, OWN])
                yield _row(STRUCTURE, architecture, what, decisive, values, margins.complexity)


def _of_errors(errors: pd.DataFrame, margins: Margins) -> Iterator[dict[str, Any]]:
    """From permuted and redrawn weights to those in order, by every scheme."""
    for (architecture, part, scheme), own in errors.groupby(["architecture", "part", "scheme"], sort=False):
        of = dict(iter(own.set_index("seed").groupby(["stage", "weights"])["error"]))
        for stage, weights in of:
            if weights != OWN:
                what = f"{part}, {scheme}, {stage}, {weights}"
                decisive = part == LAYERS and (stage, weights) == (TRAINED, "permuted")
                values = fall(of[stage, weights], of[stage, OWN])
                yield _row(HARNESSED, architecture, what, decisive, values, margins.error)


def _of_mosaics(models: pd.DataFrame, settings: Mosaics) -> Iterator[dict[str, Any]]:
    """Every arm that is trained, against free training of the same seeds."""
    its, margins = settings.headline, settings.margins
    headline = mosaic(its.choice, its.block, its.capacity).name
    own = models[models["architecture"] == GPT_NEOX]
    arms = {arm: rows.set_index("seed") for arm, rows in own.groupby("arm", sort=False)}
    free = arms.pop(FREE)
    after = own[own["method"] == QUANTIZED_AFTER].set_index("seed")
    good = after[after["loss"] <= free["loss"].reindex(after.index) + margins.loss]
    quantized = good.groupby("seed")["file_bits"].min()
    for arm, rows in arms.items():
        decides = arm == headline
        lost = (free["loss"] - rows["loss"]).to_numpy()
        yield _row(COMPARABLE, GPT_NEOX, arm, decides, lost, -margins.loss)
        yield _row(SIMPLER_THAN_FREE, GPT_NEOX, arm, decides, fall(free["lzma_bits"], rows["lzma_bits"]), margins.bits)
        shorter = fall(quantized, rows["file_bits"])
        yield _row(SHORTER_THAN_QUANTIZED, GPT_NEOX, arm, decides, shorter, margins.bits)
        ok = [table.loc[table["status"] == "ok", "llc"] for table in (free, rows)]
        if (rows["status"] != "").any():
            yield _row(LOWER_LLC, GPT_NEOX, arm, decides, fall(*ok), margins.llc)


def _of_control(complexity: pd.DataFrame, settings: Mosaics) -> Iterator[dict[str, Any]]:
    """The mosaics of least capacity, which every measure should see."""
    own = complexity[(complexity["architecture"] == GPT_NEOX) & (complexity["stage"] == TRAINED)]
    own = own[(own["weights"] == OWN) & (own["part"] == ALL)].set_index("seed")
    for choice in MOTIFS:
        arm = mosaic(choice, settings.capacities_at, min(settings.capacities)).name
        for measure, rows in own.groupby("measure", sort=False):
            free, few = (rows.loc[rows["arm"] == name, "value"] for name in (FREE, arm))
            decides = choice == "random" and measure in OF_THE_SOURCE
            margin = settings.margins.complexity
            yield _row(POSITIVE_CONTROL, GPT_NEOX, f"{measure}, {arm}", decides, fall(free, few), margin)
