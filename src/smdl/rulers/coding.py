"""Coding lengths: the bits of a checkpoint's quantized weights under every code, alone and with those of the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import pandas as pd
from pydantic import Field

from smdl.models.shape import Need, Shape
from smdl.rulers.ruler import Cost, Curve, Rows, Ruler, from_rows
from smdl.settings.base import AS_INTEGER, Distinct, Flag, Integer, Name, Number
from smdl.tables import FLAG, INTEGER, NUMBER, TEXT, Column, Table
from smdl.tables.study import MODEL, STEP

if TYPE_CHECKING:
    from smdl.models.checkpoint import Checkpoint

# Bytes of a tensor's weight while it is encoded and decoded: symbols, code words, bits.
CODED = 140
Precision = Annotated[int, Field(ge=2, le=65536), AS_INTEGER]

CODE = Column("code", TEXT, "how the weights are coded")
LEVELS = Column("levels", INTEGER, "precision: values a weight can take, n_q")

CODING = Table(
    "coding",
    "Coding lengths of every checkpoint at the stated precisions, each tensor on a grid up to its largest weight.",
    ("model", "step", "levels", "code"),
    (
        MODEL,
        STEP,
        LEVELS,
        CODE,
        Column("bits", NUMBER, "length of all weights, tables and parameters of the prior included", "bits"),
        Column("bits_per_parameter", NUMBER, "length over the number of weights", "bits"),
        Column("ratio", NUMBER, "dense float32 over the length"),
        Column("entropy_bits", NUMBER, "entropy of the quantized weights, tensor by tensor", "bits"),
        Column("efficiency", NUMBER, "entropy over the length"),
    ),
)

TWO_PART = Table(
    "two_part",
    "Bits of the quantized weights plus bits of the data, at the least total and at the critical precisions.",
    ("model", "step", "code", "choice"),
    (
        MODEL,
        STEP,
        CODE,
        Column("choice", TEXT, "why this precision: least total, or critical at a tolerance"),
        Column("epsilon", NUMBER, "that tolerance", "nats"),
        LEVELS,
        Column("inside", FLAG, "whether the least total lies inside the curve, not at its end"),
        Column("weight_bits", NUMBER, "length of the weights", "bits"),
        Column("data_bits", NUMBER, "n L / ln 2 with the loss at that precision", "bits"),
        Column("total_bits", NUMBER, "both parts", "bits"),
    ),
)


class Coding(Ruler):
    """Coding lengths at stated precisions, and two-part totals along the curve of a quantization."""

    enabled: Flag = Field(True, description="Whether to take them; needs the scheme quantize.")
    tokens: Number = Field(
        1.0e6, gt=0, description="n of the two-part totals, the tokens of data that the weights are to pay for."
    )
    components: Integer = Field(5, ge=1, le=1000, description="Gaussians of the mixture prior.")
    levels: Annotated[tuple[Precision, ...], Distinct] = Field(
        (16, 256), min_length=1, max_length=100, description="Stated precisions (values a weight can take)."
    )
    variant: Name = Field(
        "minimised", description="Variant of the scheme quantize whose curve the two-part totals follow."
    )
    block: Integer = Field(4, ge=1, description="Weights a motif of the dictionary code.")

    tables = (CODING, TWO_PART)
    version = 2
    follows = "quantize"

    def cost(self, shape: Shape, dtype: str, context: int, evaluation: int) -> Cost:
        # Beside the model, codes and bits of the largest tensor, and of all tensors their distinct blocks: at the worst
        # two bytes a weight, and a count of four bytes a block; with them, in the end, their order, the places where
        # equal ones begin, and the sums of their counts.
        blocks = (2 + 4 / self.block) * shape.weights
        pooled = (2 + (8 + 4 + 4 + 8 + 8) / self.block) * shape.weights
        memory = Need(host=4 * shape.weights + max(blocks + CODED * shape.largest, pooled))
        # Every precision is encoded and decoded.
        return Cost(300 * evaluation, memory)

    def measure(self, checkpoint: Checkpoint, seed: int | None, curve: Curve | None) -> Mapping[str, Rows]:
        from smdl.compression.weights import Weights
        from smdl.rulers.codes.lengths import Coder
        from smdl.rulers.codes.weights import curve_lengths, stated_lengths, two_part_totals

        weights = Weights(checkpoint.load("float32"))
        coder = Coder(self.components, self.block, curve.dense_bits)
        lengths = curve_lengths(weights, curve.points, curve.scheme, coder)
        loss = checkpoint.losses("evaluation").mean()
        return {
            "two_part": two_part_totals(lengths, loss, self.tokens, curve.epsilons),
            "coding": stated_lengths(weights, self.levels, coder),
        }

    @classmethod
    def measures(cls, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        coding, totals = tables["coding"], tables["two_part"]
        names = "bits per parameter, " + coding["code"] + " at " + coding["levels"].astype(str)
        least = totals[totals["choice"] == "least total"]
        parts = (
            from_rows(coding, names, "bits_per_parameter"),
            from_rows(least, "two-part total, " + least["code"], "total_bits"),
        )
        return pd.concat(parts)
