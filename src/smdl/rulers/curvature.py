"""Curvature at w*: what the LLC is compared with where it may be no more than a trace of the Hessian."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pydantic import Field

from smdl.models.shape import Need, Shape
from smdl.rulers.ruler import Cost, Curve, ModelRuler, Rows, from_columns
from smdl.settings.base import Integer
from smdl.tables import INTEGER, NUMBER, Column, Table
from smdl.tables.study import CHECKPOINT, MODEL, STEP

if TYPE_CHECKING:
    from smdl.models.checkpoint import Checkpoint

CURVATURE = Table(
    "curvature",
    "Second derivatives of the loss of every checkpoint, over the first of its evaluation blocks.",
    ("model", "step"),
    (
        MODEL,
        STEP,
        Column("weights", INTEGER, "number of weights"),
        Column("hessian_trace", NUMBER, "trace of the Hessian of the mean loss (Hutchinson)"),
        Column("hessian_trace_se", NUMBER, "its standard error over the random vectors"),
        Column("largest_eigenvalue", NUMBER, "of the Hessian (Lanczos)"),
        Column("fisher_trace", NUMBER, "trace of the Fisher information per token, labels drawn from the model"),
        Column("fisher_trace_se", NUMBER, "its standard error over the blocks"),
        Column(
            "critical_sharpness", NUMBER, "2 over the largest step against the gradient that does not raise the loss"
        ),
    ),
)

SPECTRUM = Table(
    "spectrum",
    "The Hessian's spectrum by stochastic Lanczos quadrature: its sums over weights approximate traces.",
    ("model", "step", "probe", "node"),
    (
        MODEL,
        STEP,
        Column("probe", INTEGER, "number of the random vector"),
        Column("node", INTEGER, "number of the node"),
        Column("eigenvalue", NUMBER, "eigenvalue of the tridiagonal matrix"),
        Column("weight", NUMBER, "its weight; those of a probe add up to 1"),
    ),
)

NAMES = {
    "hessian_trace": "hessian trace",
    "fisher_trace": "fisher trace",
    "largest_eigenvalue": "largest eigenvalue",
    "critical_sharpness": "critical sharpness",
}
# A product with the Hessian takes two passes forward and two and a half back, of which one forward and back is counted.
PASSES = 3
# As long as the weights: the model among them.
VECTORS = 10


def second_order(shape: Shape, tokens: int, context: int) -> float:
    """Bytes of a product with the Hessian in float32, ``tokens`` in blocks of ``context`` at once.

    The model, three vectors of Lanczos, the sum, gradients, their derivatives and what these are added up from; a graph
    of the gradients about thrice that of the loss, with the attention's weights, which fused attention would not keep.
    """
    attention = 5 * shape.width / 64 * shape.layers * context * 4
    return VECTORS * 4 * shape.weights + 3 * (shape.passed(tokens, 4, gradient=True) + tokens * attention)


class Curvature(ModelRuler):
    """Traces of Hessian and Fisher information, the largest eigenvalue, and the LLC of the quadratic well."""

    blocks: Integer = Field(16, ge=2, le=10**6, description="Evaluation blocks that the loss is a mean over.")
    batch_size: Integer = Field(8, ge=1, description="Token blocks per pass.")
    probes: Integer = Field(4, ge=2, le=1000, description="Random vectors behind each trace.")
    lanczos: Integer = Field(12, ge=2, le=1000, description="Steps of Lanczos per random vector.")

    tables = (CURVATURE, SPECTRUM)
    gathered = ("llc",)
    version = 1
    random = True

    def cost(self, shape: Shape, dtype: str, context: int, evaluation: int) -> Cost:
        products = self.probes * self.lanczos
        blocks = min(self.blocks, max(evaluation // context, 1))
        memory = Need(device=second_order(shape, min(self.batch_size, blocks) * context, context))
        return Cost((PASSES * products + 12) * blocks * context, memory)

    def measure(self, checkpoint: Checkpoint, seed: int | None, curve: Curve | None) -> Mapping[str, Rows]:
        from smdl.rulers.second_order.fisher import fisher_trace
        from smdl.rulers.second_order.spectrum import critical_sharpness, gradient_of, hessian_of, spectrum, trace

        loss = checkpoint.smooth_loss("evaluation", self.blocks)
        length = sum(parameter.numel() for parameter in loss.parameters)
        device = loss.parameters[0].device
        nodes = spectrum(hessian_of(loss, self.batch_size), length, self.probes, self.lanczos, seed, device)
        hessian, hessian_se = trace(nodes, length)
        fisher = fisher_trace(loss.model, loss.blocks, seed)
        row = {
            "weights": length,
            "hessian_trace": hessian,
            "hessian_trace_se": hessian_se,
            "largest_eigenvalue": nodes["eigenvalue"].max(),
            "fisher_trace": fisher.mean(),
            "fisher_trace_se": fisher.std(ddof=1) / np.sqrt(len(fisher)),
            "critical_sharpness": critical_sharpness(loss, gradient_of(loss, self.batch_size), self.batch_size),
        }
        return {"curvature": [row], "spectrum": nodes}

    @classmethod
    def measures(cls, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        from smdl.rulers.second_order.spectrum import laplace_llc

        curvature, llc = tables["curvature"], tables["llc"]
        weights = curvature.set_index(CHECKPOINT)["weights"]
        own = {key: rows for key, rows in tables["spectrum"].groupby(CHECKPOINT)}
        wells = [
            {
                "model": row.model,
                "step": row.step,
                "measure": f"llc of the quadratic well ({row.setting})",
                "value": laplace_llc(own[row.model, row.step], weights[row.model, row.step], row.n_beta, row.gamma)[0],
                "made_with": f"n_beta {row.n_beta:g}, gamma {row.gamma:g}",
            }
            for row in llc.itertuples()
            if (row.model, row.step) in own
        ]
        return pd.concat([from_columns(curvature, NAMES), pd.DataFrame(wells)], ignore_index=True)
