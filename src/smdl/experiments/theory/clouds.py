"""The sampler on the toys: clouds over the level sets, and the estimates that the clouds give."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from smdl.foundation.interval import half_width
from smdl.llc.sampler import Walker
from smdl.llc.settings import Sampler

# Grid for the tempered mean: half width in standard deviations of the localisation, nodes a side.
REACH, NODES = 5.0, 1001


class Walkers:
    """Independent walkers as one loss of the sampler: rows of one tensor, each row's K being one "sequence".

    The sampler's loss is the mean over rows, so each row's gradient comes out divided by their number; ``settings``
    takes that back, and every row then moves exactly as a chain of its own would.
    """

    def __init__(self, excess: Callable[[Tensor], Tensor], start: np.ndarray, walkers: int):
        self.parameters = [torch.from_numpy(np.tile(start, (walkers, 1))).requires_grad_()]
        self.size = walkers
        self._excess = excess

    def __call__(self, sequences: np.ndarray) -> Tensor:
        return self._excess(self.parameters[0])[torch.from_numpy(sequences)]

    def settings(self, single: Sampler) -> Sampler:
        """Settings of the joint chain under which every row follows ``single``."""
        return single.changed(
            lr=single.lr / self.size,
            n_beta=single.n_beta * self.size,
            eps_rms=single.eps_rms / self.size,
            batch_size=self.size,
        )


def sample(
    excess: Callable[[Tensor], Tensor], start: np.ndarray, settings: Sampler, walkers: int, seed: int
) -> pd.DataFrame:
    """Draws of ``walkers`` independent chains from ``start``: walker, draw, w0, w1, ..., excess (nats)."""
    loss = Walkers(excess, start, walkers)
    joint = Walker(loss, loss.settings(settings))
    frames = []
    for seen in joint.walk(seed, 0, joint.settings.n_beta):
        # The weights are those after the step: draw 0 is taken once the steps between draws have followed the burn-in.
        draw = settings.draw_of(seen.step + 1)
        if draw is None or draw < 1:
            continue
        w = joint.weights.view(walkers, -1).clone()
        columns = {f"w{i}": w[:, i].numpy() for i in range(w.shape[1])}
        frames.append(
            pd.DataFrame({"walker": range(walkers), "draw": draw - 1, **columns, "excess": excess(w).numpy()})
        )
    return pd.concat(frames, ignore_index=True)


def estimate(draws: pd.DataFrame, n_beta: float, confidence: float) -> tuple[float, float, float]:
    """lambda_hat = n_beta E[K] with its interval over independent walkers (Student)."""
    means = n_beta * draws.groupby("walker")["excess"].mean()
    half = half_width(means, confidence)
    return means.mean(), means.mean() - half, means.mean() + half


def tempered(excess: Callable[[Tensor], Tensor], n_beta: float, gamma: float) -> float:
    """n_beta E[K] under exp(-n_beta K - gamma/2 |w|^2) on the plane, by summing over a grid.

    What a perfect sampler would give at this n_beta: its distance from lambda is the theory's, not the sampler's.
    """
    side = torch.linspace(-REACH, REACH, NODES, dtype=torch.float64) / np.sqrt(gamma)
    w = torch.cartesian_prod(side, side)
    k = excess(w)
    weight = torch.softmax(-n_beta * k - gamma / 2 * w.square().sum(1), 0)
    return float(n_beta * (weight * k).sum())
