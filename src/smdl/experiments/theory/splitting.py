"""Volumes of rare sublevel sets by multilevel splitting (Cerou, Del Moral, Furon, Guyader 2012).

Particles spread uniformly over W; each round keeps the half of lowest K, copies it over the other half and moves every
particle inside the new sublevel set, so that each round halves the volume whatever its shape.
"""

import numpy as np

from smdl.experiments.theory.models import Model


def log_volumes(model: Model, scales: np.ndarray, particles: int, sweeps: int, rng: np.random.Generator) -> np.ndarray:
    """log( Vol{K <= eps} / Vol(W) ) at every eps of ``scales`` (falling), from one run. nats, shape of ``scales``.

    The error of log volume accumulates from scale to scale, as a random walk.
    """
    w = rng.uniform(model.low, model.high, (particles, model.dimension))
    k = model.values(w)
    result = np.empty(len(scales))
    log_volume, following = 0.0, 0
    while following < len(scales):
        level = np.median(k)
        while following < len(scales) and scales[following] >= level:
            result[following] = log_volume + np.log((k <= scales[following]).mean())
            following += 1
        inside = k <= level
        log_volume += np.log(inside.mean())
        survivors = np.flatnonzero(inside)
        fallen = np.flatnonzero(~inside)
        chosen = rng.choice(survivors, len(fallen), replace=len(fallen) > len(survivors))
        w[fallen], k[fallen] = w[chosen], k[chosen]
        for _ in range(sweeps):
            _sweep(model, w, k, level, rng)
    return result


def _sweep(model: Model, w: np.ndarray, k: np.ndarray, level: float, rng: np.random.Generator) -> None:
    """Move every particle once along each coordinate and once along a random direction, within {K <= level}."""
    for axis in rng.permutation(model.dimension):
        direction = np.zeros_like(w)
        direction[:, axis] = 1.0
        _slice(model, w, k, level, direction, rng)
    direction = rng.standard_normal(w.shape) * (model.high - model.low)
    _slice(model, w, k, level, direction, rng)


def _slice(
    model: Model, w: np.ndarray, k: np.ndarray, level: float, direction: np.ndarray, rng: np.random.Generator
) -> None:
    """Slice sampling by shrinkage from the whole chord of the box (Neal 2003, section 4.1): no step size to tune."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.stack([(model.low - w) / direction, (model.high - w) / direction])
    ends = np.where(direction == 0, np.array([-np.inf, np.inf])[:, None, None], np.sort(ends, axis=0))
    left, right = ends[0].max(1), ends[1].min(1)
    moving = np.arange(len(w))
    while len(moving):
        step = rng.uniform(left[moving], right[moving])
        proposal = w[moving] + step[:, None] * direction[moving]
        value = model.values(proposal)
        # A chord shrunk to rounding error leaves the particle where it is.
        stuck = right[moving] - left[moving] < 1e-14
        accepted = (value <= level) & ~stuck
        w[moving[accepted]], k[moving[accepted]] = proposal[accepted], value[accepted]
        left[moving] = np.where(step < 0, step, left[moving])
        right[moving] = np.where(step < 0, right[moving], step)
        moving = moving[~accepted & ~stuck]
