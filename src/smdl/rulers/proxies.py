"""Proxies of algorithmic complexity: how far byte compressors squeeze a checkpoint, its sparsity and its norms.

Source: Mosaic-of-Motifs (arXiv:2602.14896), which takes gzip, bz2 and lzma at level 9, raw over compressed size. Its
block decomposition method is the ruler ``bdm``.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import zstandard
from pydantic import Field

from smdl.models.shape import Need, Shape
from smdl.rulers.codes.quantized import quantize
from smdl.rulers.ruler import Cost, Curve, Rows, Ruler, from_rows
from smdl.settings.base import Integer
from smdl.tables import NUMBER, TEXT, Column, Table
from smdl.tables.study import MODEL, STEP

if TYPE_CHECKING:
    from smdl.models.checkpoint import Checkpoint

LZMA_LEVEL = 9
COMPRESSORS: dict[str, Callable[[bytes | memoryview], bytes]] = {
    "gzip": lambda data: gzip.compress(data, 9, mtime=0),
    "bz2": lambda data: bz2.compress(data, 9),
    "lzma": lambda data: lzma.compress(data, preset=LZMA_LEVEL),
    "zstd": lambda data: zstandard.ZstdCompressor(level=19).compress(data),
}

PROXIES = Table(
    "proxies",
    "Proxies of algorithmic complexity of every checkpoint.",
    ("model", "step", "proxy"),
    (
        MODEL,
        STEP,
        Column("proxy", TEXT, "compressor_view (raw over compressed bytes), or a norm"),
        Column("value", NUMBER, "its value"),
    ),
)


class Proxies(Ruler):
    """Compressors on the bytes of a checkpoint, sparsity and norms."""

    levels: Integer = Field(256, ge=2, le=65536, description="Precision of the quantized codes.")

    tables = (PROXIES,)
    version = 2

    def cost(self, shape: Shape, dtype: str, context: int, evaluation: int) -> Cost:
        # The weights, their bytes, and what a compressor makes of these.
        memory = Need(host=3 * 4 * shape.weights + 4 * 8 * shape.largest)
        # lzma and zstd at their highest levels take about a minute for 100 MB.
        return Cost(300 * evaluation, memory)

    def measure(self, checkpoint: Checkpoint, seed: int | None, curve: Curve | None) -> Mapping[str, Rows]:
        found = proxies(checkpoint.stored(), self.levels)
        return {"proxies": [{"proxy": name, "value": value} for name, value in found.items()]}

    @classmethod
    def measures(cls, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        return from_rows(tables["proxies"], tables["proxies"]["proxy"], "value")


def proxies(weights: dict[str, np.ndarray], levels: int) -> dict[str, float]:
    """Every proxy of a checkpoint by name: ``gzip_float32`` and so on, raw bytes over compressed bytes, and the norms.

    ``weights`` are float arrays by name, taken in the order of the names; ``levels`` (at most 65536) is the precision
    of the quantized codes, each tensor on a grid of its own up to its largest weight.
    """
    ratios = {
        f"{compressor}_{view}": len(data) / len(compress(data))
        for view, data in byte_views(weights, levels)
        for compressor, compress in COMPRESSORS.items()
    }
    return {**ratios, **norms(weights)}


def byte_views(weights: dict[str, np.ndarray], levels: int) -> Iterator[tuple[str, memoryview]]:
    """The checkpoint as bytes, form after form: float32, bf16, codes (one or two bytes each), packed sign bits."""
    tensors = [np.ascontiguousarray(weights[name], dtype=np.float32).ravel() for name in sorted(weights)]
    code = np.uint8 if levels <= 256 else np.dtype("<u2")
    yield "float32", _bytes(tensors, np.dtype("<f4"), lambda tensor: tensor)
    yield "bf16", _bytes(tensors, np.dtype("<u2"), bf16_bits)
    yield "codes", _bytes(tensors, code, lambda tensor: quantize(tensor, levels).codes)
    signs = np.frombuffer(_bytes(tensors, np.dtype(bool), np.signbit), dtype=bool)
    yield "signs", np.packbits(signs).data


def _bytes(tensors: list[np.ndarray], kind: np.dtype, form: Callable[[np.ndarray], np.ndarray]) -> memoryview:
    """All ``tensors`` in one ``form``, as bytes."""
    whole = np.empty(sum(map(len, tensors)), kind)
    start = 0
    for tensor in tensors:
        whole[start : start + len(tensor)] = form(tensor)
        start += len(tensor)
    return whole.view(np.uint8).data


def bf16_bits(values: np.ndarray) -> np.ndarray:
    """float32 values rounded to the nearest bfloat16, ties to even, as their 16 bits."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def norms(weights: dict[str, np.ndarray]) -> dict[str, float]:
    """Share of exact zeros, L1 norm, largest weight, mean stable rank; the table ``checkpoints`` has the L2 norm."""
    zeros, total, largest, ranks = 0, 0.0, 0.0, []
    for tensor in weights.values():
        magnitudes = np.abs(tensor.astype(np.float64))
        zeros += int((magnitudes == 0).sum())
        total += float(magnitudes.sum())
        largest = max(largest, float(magnitudes.max(initial=0.0)))
        if tensor.ndim == 2 and magnitudes.any():
            ranks.append(stable_rank(tensor))
    return {
        "sparsity": zeros / sum(tensor.size for tensor in weights.values()),
        "l1_norm": total,
        "max_norm": largest,
        "stable_rank": float(np.mean(ranks)) if ranks else float("nan"),
    }


def stable_rank(matrix: np.ndarray) -> float:
    """Squared Frobenius over squared spectral norm."""
    matrix = np.asarray(matrix, dtype=np.float64)
    return float((matrix**2).sum() / np.linalg.norm(matrix, 2) ** 2)
