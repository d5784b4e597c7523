"""Resampled and exchanged clusters: whole runs, or whole base points, never single checkpoints."""

import numpy as np

LEVEL = 0.95


def cluster_weights(clusters: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each row is drawn when its cluster is: shape (1 + resamples, n), the sample itself first.

    ``clusters`` is (n,), a label per row. The bootstrap of whole clusters (Field and Welsh 2007, J. R. Statist. Soc. B
    69:369): as many clusters are drawn with replacement as there are.
    """
    names, code = np.unique(clusters, return_inverse=True)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / max(len(names), 1)), size=resamples)
    return np.concatenate([np.ones((1, len(clusters))), drawn[:, code]])


def summary(draws: np.ndarray) -> tuple[float, float, float]:
    """The statistic of the sample, and the ends of its 95 % percentile interval; ``draws`` is (1 + resamples,).

    The ends are NaN where fewer than half of the resamples have the statistic.
    """
    resampled = draws[1:][np.isfinite(draws[1:])]
    if not np.isfinite(draws[0]) or len(resampled) <= (len(draws) - 1) / 2:
        return float(draws[0]), np.nan, np.nan
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(draws[0]), float(low), float(high)


def exchanges(runs: np.ndarray, strata: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Orders of the rows, shape (count, n), that exchange whole runs: each row goes to its own stratum.

    Runs that have rows in the same strata are exchanged with each other, all their rows together, because the
    checkpoints of one run are not independent. ``runs`` and ``strata`` are (n,), a label per row.
    """
    rows_of: dict[tuple, list[np.ndarray]] = {}
    for run in np.unique(runs):
        rows = np.flatnonzero(runs == run)
        rows = rows[np.argsort(strata[rows], kind="stable")]
        rows_of.setdefault(tuple(strata[rows]), []).append(rows)
    orders = np.tile(np.arange(len(runs)), (count, 1))
    for alike in map(np.stack, rows_of.values()):
        shuffled = rng.permuted(np.tile(np.arange(len(alike)), (count, 1)), axis=1)
        orders[:, alike.ravel()] = alike[shuffled].reshape(count, -1)
    return orders
