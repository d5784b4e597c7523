"""The table of rulers: every measure of complexity against every notion of compressibility.

A measure is a number a checkpoint (LLC, coding length, proxy, loss, ...), a compressibility is a critical level. Each
pair is ranked within every model over its training, and across all models. The checkpoints of one training run follow
one another and are no sample of anything, so that within a model there is no interval and no p value. Across models
the models are the sample: intervals resample whole models, p values permute them.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import stats

from smdl.analysis.correlation import partial
from smdl.analysis.permutation import orders, p_values
from smdl.tables import empty
from smdl.tables.rulers import RULERS
from smdl.tables.study import CHECKPOINT

COMPRESSIBILITY = ["scheme", "variant", "epsilon"]
ALL_MODELS = "all models"
FEWEST = 4
FEWEST_MODELS = 5
"""From fewer models no interval and no p value is taken: of four, the least p value is 1/12."""
LEVEL = 0.95


@dataclass(frozen=True)
class Bootstrap:
    """How many resamples of the models make an interval, and their seed."""

    resamples: int
    seed: int


def rulers(measures: pd.DataFrame, critical: pd.DataFrame, bootstrap: Bootstrap) -> pd.DataFrame:
    """The rows of the table ``rulers``.

    ``measures`` is long: model, step, measure, value, made_with; the measure named ``loss`` is the one that partial
    correlations hold fixed. A measure that was made with different settings for different models has no row across
    them. ``critical`` has model, step, scheme, variant, epsilon and coordinate; checkpoints without a finite
    value or coordinate are left out of the pair. Correlations are NaN below ``FEWEST`` checkpoints, and where either
    side does not vary; intervals and p values below ``FEWEST_MODELS`` models. ``p_corrected`` holds for all pairs of
    the table together (Benjamini and Yekutieli 2001, any dependence). Without critical levels there are no rows.
    """
    names = list(measures["measure"].unique())
    wide = measures.pivot(index=CHECKPOINT, columns="measure", values="value")[names]
    made_with = measures.groupby("measure")["made_with"].nunique()
    alike = [name for name in names if made_with[name] == 1]
    levels = critical.pivot(index=CHECKPOINT, columns=COMPRESSIBILITY, values="coordinate").reindex(wide.index)
    of_model = wide.index.get_level_values("model")
    checkpoints = critical.groupby("model")["step"].nunique()
    scopes = {
        scope: _Scope(wide.loc[of_model.isin(models), alike if scope == ALL_MODELS else names], bootstrap)
        for scope, models in _scopes(list(critical["model"].unique()))
        # Beside others, a model of one checkpoint has nothing to compare within it.
        if len(checkpoints) == 1 or len(models) > 1 or checkpoints[models[0]] > 1
    }
    rows = []
    for key in critical[COMPRESSIBILITY].drop_duplicates().itertuples(index=False, name=None):
        for scope, own in scopes.items():
            compared = own.against(levels.loc[own.checkpoints, key].to_numpy(float))
            told = {**dict(zip(COMPRESSIBILITY, key, strict=True)), "compressibility": f"{key[0]}/{key[1]}"}
            rows.append(compared.assign(scope=scope, **told))
    if not rows:
        return empty(RULERS)
    table = pd.concat(rows, ignore_index=True)
    return table.assign(p_corrected=corrected(table["p"].to_numpy()))


def corrected(p: np.ndarray) -> np.ndarray:
    """p values corrected for their number by false discovery rate under any dependence; NaN stays NaN."""
    result = np.full(len(p), np.nan)
    known = np.isfinite(p)
    if known.any():
        result[known] = stats.false_discovery_control(p[known], method="by")
    return result


def partial_spearman(x: np.ndarray, y: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Rank correlation of ``x`` and ``y`` along the last axis, the ranks of ``given`` held fixed; in [-1, 1] or NaN."""
    return partial(spearman(x, y), spearman(x, given), spearman(y, given))


def spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation along the last axis; NaN where either side does not vary."""
    ranks = (stats.rankdata(side, axis=-1) for side in (x, y))
    return _product(*(_standard(side, np.ones(np.shape(x)[-1])) for side in ranks))


def _scopes(models: list[str]) -> Iterator[tuple[str, list[str]]]:
    yield from ((model, [model]) for model in models)
    if len(models) > 1:
        yield ALL_MODELS, models


class _Scope:
    """The measures of one scope's checkpoints; what does not depend on the levels is resampled and ranked once."""

    def __init__(self, wide: pd.DataFrame, bootstrap: Bootstrap):
        self.checkpoints = wide.index
        self.names = list(wide.columns)
        self.bootstrap = bootstrap
        self._values = wide.to_numpy(float)
        self._models = wide.index.get_level_values("model").to_numpy()
        self._drawn: dict[tuple[bytes, bytes], _Draws] = {}

    def against(self, levels: np.ndarray) -> pd.DataFrame:
        """A row a measure: Spearman, R^2 and partial Spearman given the loss, with intervals; ``levels`` is (n,)."""
        known = np.isfinite(self._values) & np.isfinite(levels)[:, None]
        if "loss" in self.names:
            known &= known[:, [self.names.index("loss")]]
        rows = pd.DataFrame({"measure": self.names, "n": known.sum(axis=0), **dict.fromkeys(FIGURES, np.nan)})
        for pattern in np.unique(known, axis=1).T:
            chosen = np.flatnonzero((known == pattern[:, None]).all(axis=0))
            if pattern.sum() >= FEWEST and np.ptp(levels[pattern]) > 0:
                found = self._draws(pattern, chosen).compare(levels[pattern])
                rows.loc[chosen, list(found)] = np.stack(list(found.values()), axis=1)
        return rows

    def _draws(self, pattern: np.ndarray, chosen: np.ndarray) -> "_Draws":
        key = (pattern.tobytes(), chosen.tobytes())
        if key not in self._drawn:
            values = self._values[pattern]
            loss = values[:, self.names.index("loss")] if "loss" in self.names else None
            held = None if loss is None else np.array([self.names[i] != "loss" for i in chosen])
            self._drawn[key] = _Draws(values[:, chosen], loss, held, self._models[pattern], self.bootstrap)
        return self._drawn[key]


class _Draws:
    """Measures of n checkpoints, (n, m), as they are and with the models resampled: draw 0 is the sample itself.

    A draw is a weight a checkpoint, how often its model was drawn; where there are too few models the sample stands
    alone. ``loss`` is (n,) or None; ``held`` says for which of the measures it is held fixed.
    """

    def __init__(
        self,
        values: np.ndarray,
        loss: np.ndarray | None,
        held: np.ndarray | None,
        models: np.ndarray,
        bootstrap: Bootstrap,
    ):
        names, self.model = np.unique(models, return_inverse=True)
        self.models = len(names)
        self.enough = self.models >= FEWEST_MODELS
        self.weights = np.ones((1, len(models)))
        if self.enough:
            chosen = np.random.default_rng(bootstrap.seed).multinomial(
                self.models, np.full(self.models, 1 / self.models), size=bootstrap.resamples
            )
            self.weights = np.concatenate([self.weights, chosen[:, self.model]])
        self.held = held
        self.means = self._means(values)
        self.values = np.stack([_standard(column, self.weights) for column in values.T])
        self.ranks = np.stack([self._ranked(column) for column in values.T])
        self.loss_ranks = None if loss is None else self._ranked(loss)

    def compare(self, levels: np.ndarray) -> dict[str, np.ndarray]:
        """The ``FIGURES`` of every measure, each (m,)."""
        level_ranks = self._ranked(levels)
        xy = _product(self.ranks, level_ranks)
        figures = {"spearman": xy, "r2": _product(self.values, _standard(levels, self.weights)) ** 2}
        if self.loss_ranks is not None:
            held = partial(xy, _product(self.ranks, self.loss_ranks), _product(level_ranks, self.loss_ranks))
            figures["partial_given_loss"] = np.where(self.held[:, None], held, np.nan)
        found = {name: draws[:, 0] for name, draws in figures.items()}
        if self.enough:
            vary = np.isfinite(xy[:, 0])
            for name, draws in figures.items():
                low, high = _interval(draws[:, 1:])
                found |= {f"{name}_low": np.where(vary, low, np.nan), f"{name}_high": np.where(vary, high, np.nan)}
            ranks = (stats.rankdata(means, axis=0) for means in (self.means, self._means(levels)))
            found["p"] = p_values(*ranks, _orders(self.models))
        return found

    def _ranked(self, values: np.ndarray) -> np.ndarray:
        """Ranks among the checkpoints of each draw, standardised; shape (draws, n)."""
        less, equal = (np.asarray(test, float) for test in (values < values[:, None], values == values[:, None]))
        return _standard(self.weights @ less.T + (self.weights @ equal.T + 1) / 2, self.weights)

    def _means(self, values: np.ndarray) -> np.ndarray:
        """Mean over the checkpoints of each model; shape (models, ...)."""
        return np.stack([values[self.model == model].mean(0) for model in range(self.models)])


_orders = lru_cache(maxsize=1)(orders)


FIGURES = (
    *("spearman", "spearman_low", "spearman_high", "r2", "r2_low", "r2_high"),
    *("partial_given_loss", "partial_given_loss_low", "partial_given_loss_high", "p"),
)


def _standard(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean 0 and length 1 along the last axis, points counted by their weights; NaN where nothing varies."""
    centred = values - (weights * values).sum(-1, keepdims=True) / weights.sum(-1, keepdims=True)
    length, size = (np.sqrt((weights * part**2).sum(-1, keepdims=True)) for part in (centred, values))
    # What is left of equal values is rounding.
    return np.sqrt(weights) * centred / np.where(length > 1e-12 * size, length, np.nan)


def _product(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x * y).sum(-1)


def _interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The middle 95 % of the resamples (last axis); NaN where it has no width, which is no interval.

    Resamples in which one side does not vary are passed over.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=-1)
    wide = high - low > 1e-9
    return np.where(wide, low, np.nan), np.where(wide, high, np.nan)
