"""The table of rulers: every measure of complexity against every notion of compressibility.

A measure is a number a checkpoint (LLC, coding length, proxy, loss, ...), a compressibility is a critical level. Each
pair is ranked within every model over its training, and across all models. The checkpoints of one training are not
independent, so the bootstrap's intervals, which resample checkpoints, are too narrow rather than too wide.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

CHECKPOINT = ["model", "step"]
COMPRESSIBILITY = ["scheme", "variant", "epsilon"]
ALL_MODELS = "all models"
FEWEST = 4
LEVEL = 0.95


@dataclass(frozen=True)
class Bootstrap:
    """How many resamples of the checkpoints make an interval, and their seed."""

    resamples: int
    seed: int


def rulers(measures: pd.DataFrame, critical: pd.DataFrame, bootstrap: Bootstrap) -> pd.DataFrame:
    """The rows of the table ``rulers``.

    ``measures`` is long: model, step, measure, value; the measure named ``loss`` is the one that partial correlations
    hold fixed. ``critical`` has model, step, scheme, variant, epsilon and level; checkpoints without a finite value or
    level are left out of the pair. Correlations are NaN below ``FEWEST`` checkpoints, and where either side does not
    vary. ``p_corrected`` holds for all pairs of the table together (Benjamini and Yekutieli 2001, any dependence).
    """
    wide = measures.pivot(index=CHECKPOINT, columns="measure", values="value").reset_index()
    names = list(measures["measure"].unique())
    rows = []
    for key, levels in critical.groupby(COMPRESSIBILITY, sort=False):
        points = levels[[*CHECKPOINT, "level"]].merge(wide, on=CHECKPOINT)
        for scope, own in _scopes(points):
            for name in names:
                rows.append(
                    {
                        **dict(zip(COMPRESSIBILITY, key, strict=True)),
                        "compressibility": f"{key[0]}/{key[1]}",
                        "measure": name,
                        "scope": scope,
                        **_compare(own, name, bootstrap),
                    }
                )
    table = pd.DataFrame(rows)
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
    xy, xz, yz = spearman(x, y), spearman(x, given), spearman(y, given)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    # ranks that agree wholly with those of the loss leave nothing to explain
    left = np.minimum(1 - xz**2, 1 - yz**2) > 1e-9
    return np.where(left, np.clip(value, -1, 1), np.nan)


def spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation along the last axis; NaN where either side does not vary."""
    return _pearson(stats.rankdata(x, axis=-1), stats.rankdata(y, axis=-1))


def _pearson(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = x - x.mean(-1, keepdims=True), y - y.mean(-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (x * y).sum(-1) / np.sqrt((x**2).sum(-1) * (y**2).sum(-1))


def _scopes(points: pd.DataFrame):
    models = points.groupby("model", sort=False)
    yield from models
    if models.ngroups > 1:
        yield ALL_MODELS, points


def _compare(points: pd.DataFrame, name: str, bootstrap: Bootstrap) -> dict[str, float]:
    """Spearman, R^2 and partial Spearman given the loss, each with its interval, of one pair in one scope."""
    columns = [name, "level"] + (["loss"] if "loss" in points and name != "loss" else [])
    whole = points[np.isfinite(points[columns]).all(axis=1)]
    groups = [group.to_numpy(float) for _, group in whole.groupby("model", sort=False)[columns]]
    if len(whole) < FEWEST or whole[name].nunique() < 2 or whole["level"].nunique() < 2:
        return {"n": len(whole), **{column: np.nan for column in FIGURES}}
    values = np.concatenate(groups)
    resampled = _resampled(groups, bootstrap)
    figures = {
        "spearman": lambda v: spearman(v[..., 0], v[..., 1]),
        "r2": lambda v: _pearson(v[..., 0], v[..., 1]) ** 2,
    }
    if len(columns) == 3:
        figures["partial_given_loss"] = lambda v: partial_spearman(v[..., 0], v[..., 1], v[..., 2])
    row = {"n": len(whole), "partial_given_loss": np.nan, **dict.fromkeys(PARTIAL_INTERVAL, np.nan)}
    for figure, statistic in figures.items():
        row[figure] = float(statistic(values))
        row[f"{figure}_low"], row[f"{figure}_high"] = _interval(statistic(resampled))
    # t approximation; a perfect rank correlation has p 0
    row["p"] = float(stats.spearmanr(values[:, 0], values[:, 1]).pvalue)
    return row


PARTIAL_INTERVAL = ("partial_given_loss_low", "partial_given_loss_high")
FIGURES = (
    "spearman",
    "spearman_low",
    "spearman_high",
    "r2",
    "r2_low",
    "r2_high",
    "partial_given_loss",
    *PARTIAL_INTERVAL,
    "p",
)


def _resampled(groups: list[np.ndarray], bootstrap: Bootstrap) -> np.ndarray:
    """Checkpoints drawn with replacement within each model, (resamples, n, columns)."""
    rng = np.random.default_rng(bootstrap.seed)
    return np.concatenate(
        [group[rng.integers(len(group), size=(bootstrap.resamples, len(group)))] for group in groups], axis=1
    )


def _interval(values: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of the resamples; those in which one side does not vary are passed over."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
