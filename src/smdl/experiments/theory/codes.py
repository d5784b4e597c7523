"""The two-part code of Theorem 1 (Urdshals et al., arXiv:2510.12077), built for finite sample spaces.

The parameter space W is replaced by M points of a scrambled Sobol sequence that sender and receiver share. Cells of
Kullback-Leibler radius about 1/n divide the distributions of the model, and the hypothesis of a cell costs

    log( Vol(W) / Vol(cell) ) = log( M / points in the cell ),

which satisfies Kraft's inequality with equality. Cells stand in for the theorem's overlapping balls V_p(1/n), whose
code lengths would not: a cell and the ball around its hypothesis agree up to a constant factor of volume, an O(1) of
redundancy. The sender takes the hypothesis of least total length.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import qmc

from smdl.experiments.theory.arithmetic import Decoder, Encoder
from smdl.experiments.theory.mixture import binomial_mixture

# Cells searched beyond the maximum likelihood's cell, on each side and axis. The hypothesis code can move the best cell
# by a few at most: its length changes by O(1) from cell to cell, the data's by the squared distance.
REACH = 4
# Probabilities become integers out of this total; the loss is below 1e-12 nats a symbol.
FREQUENCY_TOTAL = 1 << 40


@dataclass(frozen=True)
class CodeModel:
    """Distributions over ``outcomes`` symbols, with parameters on the box ``low <= w <= high``, uniformly weighted.

    ``distribution`` maps (..., d) to (..., outcomes); ``factors`` maps distributions to the success probabilities of
    independent coins whose arcsine angles are the chart that cells are cut in.
    """

    name: str
    formula: str
    distribution: Callable[[np.ndarray], np.ndarray]
    factors: Callable[[np.ndarray], np.ndarray]
    low: np.ndarray
    high: np.ndarray
    truth: np.ndarray
    learning_coefficient: float
    multiplicity: int

    @property
    def dimension(self) -> int:
        """Number of parameters d."""
        return len(self.low)


class Codebook:
    """The hypotheses of one model: M points of W, their distributions, and the chart they are cut in."""

    def __init__(self, model: CodeModel, log2_points: int, seed: int):
        self.model = model
        points = qmc.Sobol(model.dimension, rng=np.random.default_rng(seed)).random_base2(log2_points)
        self.w = model.low + (model.high - model.low) * points
        self.p = model.distribution(self.w)
        self.angles = _angles(model, self.p)
        self.offset = np.random.default_rng([seed, 1]).random(self.angles.shape[1])

    def code(self, n: int) -> "VolumeCode":
        """The hypothesis code for ``n`` observations."""
        return VolumeCode(self, n)


class VolumeCode:
    """Hypotheses and their code lengths for data of one size n, known to both sides."""

    def __init__(self, book: Codebook, n: int):
        self.book, self.n = book, n
        axes = book.angles.shape[1]
        # KL ~ 2 |angle|^2: the corner of a cube of this side is at KL 1/n from its centre.
        self.side = np.sqrt(2 / (n * axes))
        cells = self._cells(book.angles)
        self.shape = tuple(cells.max(0) + 1)
        keys = np.ravel_multi_index(tuple(cells.T), self.shape)
        self.order = np.argsort(keys, kind="stable")
        self.keys, self.starts, self.counts = np.unique(keys[self.order], return_index=True, return_counts=True)

    def _cells(self, angles: np.ndarray) -> np.ndarray:
        return np.floor(angles / self.side + self.book.offset).astype(np.int64)

    @property
    def lengths(self) -> np.ndarray:
        """Ideal code lengths of all hypotheses, nats."""
        return np.log(len(self.order) / self.counts)

    @cached_property
    def cumulative(self) -> list[int]:
        """Cumulative integer frequencies of the hypotheses."""
        return [0, *np.cumsum(self.counts).tolist()]

    def hypothesis(self, index: int) -> int:
        """The point that stands for a cell: the member nearest the mean of its members."""
        members = self.order[self.starts[index] : self.starts[index] + self.counts[index]]
        angles = self.book.angles[members]
        return int(members[np.square(angles - angles.mean(0)).sum(1).argmin()])

    def candidates(self, counts: np.ndarray) -> np.ndarray:
        """Indices of the cells within reach of the data ``counts`` (draws, outcomes) at maximum likelihood."""
        best = self._cells(_angles(self.book.model, counts / counts.sum(1, keepdims=True)))
        cells = np.stack(np.unravel_index(self.keys, self.shape), 1)
        reach = REACH
        while True:
            near = ((cells >= best.min(0) - reach) & (cells <= best.max(0) + reach)).all(1)
            if near.any():
                return np.flatnonzero(near)
            reach *= 2

    def totals(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cells in reach (cells,) and the total code lengths of the data under each, nats (draws, cells)."""
        near = self.candidates(counts)
        logs = np.log(self.book.p[[self.hypothesis(i) for i in near]])
        return near, self.lengths[near] - counts @ logs.T

    def encode(self, data: np.ndarray) -> str:
        """Bits of ``data`` (n,): the hypothesis of least total length, then the data under it."""
        near, totals = self.totals(np.bincount(data, minlength=len(self.book.model.truth))[None])
        index = int(near[totals[0].argmin()])
        encoder = Encoder()
        encoder.put(index, self.cumulative)
        frequencies = _frequencies(self.book.p[self.hypothesis(index)])
        for symbol in data.tolist():
            encoder.put(symbol, frequencies)
        return encoder.bits()

    def decode(self, bits: str) -> np.ndarray:
        """The data that ``encode`` was given."""
        decoder = Decoder(bits)
        frequencies = _frequencies(self.book.p[self.hypothesis(decoder.get(self.cumulative))])
        return np.array([decoder.get(frequencies) for _ in range(self.n)])


def redundancies(code: VolumeCode, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Redundancy R_n in nats, code length minus that of the truth, of the data ``counts`` (draws, outcomes).

    Of the volume code, and of the regular code that gives each of the d parameters a uniform grid of spacing about
    1/sqrt(n) and so pays d/2 log n. Both (draws,).
    """
    near, totals = code.totals(counts)
    ideal = -counts @ np.log(code.book.model.truth)
    w = code.book.w[[code.hypothesis(i) for i in near]]
    return totals.min(1) - ideal, _grid_totals(code.book.model, w, code.n, counts).min(1) - ideal


def _grid_totals(model: CodeModel, w: np.ndarray, n: int, counts: np.ndarray) -> np.ndarray:
    """Total lengths with ``w`` (cells, d) rounded to the regular code's grid, nats (draws, cells)."""
    width = model.high - model.low
    steps = np.ceil(width / np.sqrt(2 / (n * model.dimension)))
    rounded = model.low + (np.minimum(np.floor((w - model.low) / width * steps), steps - 1) + 0.5) * width / steps
    return np.log(steps).sum() - counts @ np.log(model.distribution(rounded)).T


def _angles(model: CodeModel, p: np.ndarray) -> np.ndarray:
    """(..., outcomes) -> (..., axes): arcsine angles, in which the divergence is about 2 |difference|^2."""
    return np.arcsin(np.sqrt(np.clip(model.factors(p), 0, 1)))


def _frequencies(p: np.ndarray) -> list[int]:
    scaled = np.maximum(1, np.rint(p * FREQUENCY_TOTAL)).astype(np.int64)
    return [0, *np.cumsum(scaled).tolist()]


def _pair(correlation: np.ndarray) -> np.ndarray:
    """Two bits with even margins: outcomes 00, 01, 10, 11."""
    same, different = (1 + correlation) / 4, (1 - correlation) / 4
    return np.stack([same, different, different, same], -1)


def _stick(p: np.ndarray) -> np.ndarray:
    """Success probabilities of three outcomes as two coins: the first or not, then the second or not."""
    rest = 1 - p[..., 0]
    return np.stack([p[..., 0], p[..., 1] / np.maximum(rest, 1e-300)], -1)


def _code_models() -> dict[str, CodeModel]:
    square = {"low": np.full(2, -0.95), "high": np.full(2, 0.95)}
    pair = {
        "factors": lambda p: p[..., :1] + p[..., 3:],
        "truth": np.full(4, 0.25),
    }
    models = [
        CodeModel("coin", "a bit of probability w", lambda w: np.concatenate([1 - w, w], -1), lambda p: p[..., 1:],
                  np.array([0.05]), np.array([0.95]), np.array([0.6, 0.4]), 0.5, 1),
        CodeModel("pair_product", "two bits of correlation a b", lambda w: _pair(w[..., 0] * w[..., 1]),
                  **square, **pair, learning_coefficient=0.5, multiplicity=2),
        CodeModel("pair_cubic", "two bits of correlation a b^2", lambda w: _pair(w[..., 0] * w[..., 1] ** 2),
                  **square, **pair, learning_coefficient=0.25, multiplicity=1),
        CodeModel("multinomial", "three outcomes",
                  lambda w: np.stack([w[..., 0], (1 - w[..., 0]) * w[..., 1], (1 - w[..., 0]) * (1 - w[..., 1])], -1),
                  _stick, np.full(2, 0.05), np.full(2, 0.95), np.array([0.5, 0.3, 0.2]), 1.0, 1),
        CodeModel("binomial_mixture", "(1-a) Bin(2,s) + a Bin(2,t)",
                  lambda w: np.stack(binomial_mixture(w), -1), _stick,
                  np.array([0.2, 0.05, 0.05]), np.array([0.8, 0.95, 0.95]), np.array([0.25, 0.5, 0.25]), 0.75, 1),
    ]  # fmt: skip
    return {model.name: model for model in models}


CODE_MODELS = _code_models()
