"""Resampled and exchanged clusters: whole runs, or whole base points, never single checkpoints."""

import numpy as np

LEVEL = 0.95


class Clusters:
    """Clusters of rows, runs or base points, drawn with replacement: as many as there are, ``resamples`` times.

    The bootstrap of whole clusters (Field and Welsh 2007, J. R. Statist. Soc. B 69:369). ``labels`` is (n,), a label
    per row. The same draws serve every predictor and outcome, so that their mean has an interval too.
    """

    def __init__(self, labels: np.ndarray, resamples: int, rng: np.random.Generator):
        self.names = np.unique(labels)
        even = np.full(len(self.names), 1 / max(len(self.names), 1))
        drawn = rng.multinomial(len(self.names), even, size=resamples)
        self._weights = np.concatenate([np.ones((1, len(self.names))), drawn])

    def weights(self, labels: np.ndarray) -> np.ndarray:
        """How often each of some rows is drawn, (1 + resamples, n): the sample itself first, then the resamples."""
        return self._weights[:, np.searchsorted(self.names, labels)]


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
