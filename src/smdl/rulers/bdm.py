"""Block decomposition method (BDM): the algorithmic complexity of the signs and of the quantized codes of a checkpoint.

Every tensor is a string (all of its bits in a row) and, where it has rows and columns, a matrix. Definition, tables and
sources: smdl.rulers.codes.block_decomposition.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pydantic import Field

from smdl.models.shape import Need, Shape
from smdl.rulers.codes.block_decomposition import Boundary, decompose
from smdl.rulers.codes.quantized import quantize
from smdl.rulers.ruler import Cost, Curve, Rows, Ruler, from_rows
from smdl.settings.base import Integer
from smdl.tables import INTEGER, NUMBER, TEXT, Column, Table
from smdl.tables.study import MODEL, STEP

if TYPE_CHECKING:
    from smdl.models.checkpoint import Checkpoint

VIEWS = ("signs", "codes")
FORMS = {"strings": 1, "matrices": 2}

BDM = Table(
    "bdm",
    "The block decomposition method on the bits of every checkpoint, each tensor (and each bit plane) on its own.",
    ("model", "step", "view", "form"),
    (
        MODEL,
        STEP,
        Column("view", TEXT, "which bits: signs, or codes (every bit plane of the quantized weights)"),
        Column("form", TEXT, "how a tensor is cut: strings (blocks of 12 bits) or matrices (blocks of 4 x 4)"),
        Column("bits", INTEGER, "bits that lie in blocks", "bits"),
        Column("bdm", NUMBER, "BDM, the sum over tensors and planes", "bits"),
        Column("bdm_per_bit", NUMBER, "BDM over the bits"),
        Column("normalised", NUMBER, "BDM over the mean BDM of random bits of the same shapes"),
        Column("random_std", NUMBER, "standard deviation of ``normalised`` where the bits are random"),
        Column(
            "kinds", NUMBER, "share of the kinds of block that occur in a tensor, mean over the bits; at 1 BDM is blind"
        ),
    ),
)


class Bdm(Ruler):
    """Block decomposition method on sign bits and quantized codes."""

    levels: Integer = Field(256, ge=2, le=65536, description="Precision of the quantized codes.")
    boundary: Boundary = Field(
        "ignore",
        description="What is done with bits at the borders that fill no block: ignore them, or cut smaller blocks.",
    )

    tables = (BDM,)
    version = 1

    def cost(self, shape: Shape, dtype: str, context: int, evaluation: int) -> Cost:
        # The weights, and of a tensor its codes, made in float64.
        return Cost(30 * evaluation, Need(host=4 * shape.weights + 5 * 8 * shape.largest))

    def measure(self, checkpoint: Checkpoint, seed: int | None, curve: Curve | None) -> Mapping[str, Rows]:
        return {"bdm": block_decompositions(checkpoint.stored(), self.levels, self.boundary)}

    @classmethod
    def measures(cls, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        table = tables["bdm"]
        return from_rows(table, "bdm, " + table["view"] + " as " + table["form"], "normalised")


def block_decompositions(
    weights: Mapping[str, np.ndarray], levels: int, boundary: Boundary
) -> list[dict[str, float | str]]:
    """The rows of the table ``bdm`` of a checkpoint, without model and step.

    ``weights`` are float arrays by name; ``levels`` (at most 65536) is the precision of the quantized codes, each
    tensor on a grid of its own up to its largest weight. Figures per bit are NaN where no bit lies in a block. Raises
    StudyError where weights are not finite.
    """
    sums = {(view, form): np.zeros(5) for view in VIEWS for form in FORMS}
    for tensor in weights.values():
        for view, plane in bit_planes(tensor, levels):
            for form, dimensions in FORMS.items():
                if tensor.ndim >= dimensions:
                    bits = plane.reshape(len(plane), -1) if dimensions == 2 else plane.ravel()
                    found = decompose(bits, boundary)
                    sums[view, form] += (found.bits, found.bdm, *found.random, found.bits * found.kinds)
    return [{"view": view, "form": form, **_figures(*own)} for (view, form), own in sums.items()]


def bit_planes(tensor: np.ndarray, levels: int) -> Iterator[tuple[str, np.ndarray]]:
    """The signs of a tensor and the bits of its codes, highest first, as booleans of its shape, each with its view."""
    yield "signs", np.signbit(tensor)
    codes = quantize(tensor, levels).codes.reshape(tensor.shape)
    for place in reversed(range((levels - 1).bit_length())):
        yield "codes", codes >> place & 1 == 1


def _figures(bits: float, bdm: float, mean: float, variance: float, kinds: float) -> dict[str, float]:
    with np.errstate(invalid="ignore"):
        per_bit, normalised, spread, kinds = np.array([bdm, bdm, variance**0.5, kinds]) / [bits, mean, mean, bits]
    return {
        "bits": int(bits),
        "bdm": bdm,
        "bdm_per_bit": per_bit,
        "normalised": normalised,
        "random_std": spread,
        "kinds": kinds,
    }
