"""Correlations with something held fixed: from residuals, and from the correlations of each pair."""

import numpy as np


def partial_r2(x: np.ndarray, y: np.ndarray, given: np.ndarray) -> float:
    """Share of the variance of ``y`` left by ``given`` that ``x`` explains: the squared partial correlation.

    ``x`` and ``y`` are (n,), ``given`` (n,) or (n, k); a constant is taken out as well. NaN where fewer than k + 3
    points are finite.
    """
    given = given[:, None] if given.ndim == 1 else given
    whole = np.isfinite(x) & np.isfinite(y) & np.isfinite(given).all(axis=1)
    if whole.sum() < given.shape[1] + 3:
        return np.nan
    basis = np.column_stack([given[whole], np.ones(whole.sum())])
    return float(np.corrcoef(_residual(x[whole], basis), _residual(y[whole], basis))[0, 1] ** 2)


def _residual(y: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """What least squares on the columns of ``basis`` leaves of ``y``."""
    # Columns of length one, as in np.polyfit: those of a control and of a constant differ by orders of magnitude.
    scale = np.sqrt((basis**2).sum(axis=0))
    scale[scale == 0] = 1
    coefficients = np.linalg.lstsq(basis / scale, y, rcond=len(y) * np.finfo(float).eps)[0] / scale
    return y - (basis * coefficients).sum(axis=1)


def partial(xy: np.ndarray, xz: np.ndarray, yz: np.ndarray) -> np.ndarray:
    """Correlation of x and y with z held fixed, from those of the pairs, element by element; in [-1, 1] or NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    # A side that agrees wholly with z leaves nothing to explain.
    left = np.minimum(1 - xz**2, 1 - yz**2) > 1e-9
    return np.where(left, np.clip(value, -1, 1), np.nan)
