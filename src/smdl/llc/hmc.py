"""Hamiltonian Monte Carlo on the localised posterior: a reference for the sampler, exact but for its number of draws.

The target is the sampler's, p(w) ~ exp{ -n_beta L_n(w) - gamma/2 |w - w*|^2 }, with the loss of all sequences in place
of minibatches. In x = sqrt(gamma) (w - w*) the localisation is a standard normal density, whose part of the motion is a
rotation of x and momentum that is made exactly; only the loss kicks the momentum. So the error of a step, and with it
the acceptance, depends on the directions that the loss feels and not on the number of weights (Beskos, Pinski,
Sanz-Serna, Stuart 2011, Stochastic Processes and their Applications 121). Every draw is accepted or refused by
Metropolis' rule.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from smdl.llc.sampler import Loss

# The acceptance that the step is fitted to in warm-up, and how fast it is.
ACCEPTANCE, GAIN = 0.8, 0.5
FIRST_ANGLE, LARGEST_ANGLE = 0.1, 0.8


@dataclass(frozen=True)
class Posterior:
    """Draws of the excess loss (nats), shape (chains, draws), the share of proposals accepted, and the step's angle."""

    excess: np.ndarray
    acceptance: float
    angle: float
    gradients: int


def sample(
    loss: Loss, n_beta: float, gamma: float, chains: int, warm_up: int, draws: int, batch_size: int, seed: int
) -> Posterior:
    """Sample L_n(w) - L_n(w*) under the localised posterior; the loss's parameters are float64, and end at w*.

    Each draw follows a path of a quarter turn in the mean, of random length. The step is fitted in the first chain's
    warm-up and then kept.
    """
    target = _Target(loss, n_beta, gamma, batch_size)
    angle, found, accepted, proposed = FIRST_ANGLE, [], 0, 0
    with tqdm(total=chains * (warm_up + draws), unit="draw", desc="reference", mininterval=5) as progress:
        for chain in range(chains):
            rng = torch.Generator().manual_seed(int(np.random.SeedSequence([seed, chain]).generate_state(1)[0]))
            x = torch.zeros(target.length, dtype=torch.float64)
            here = target.at(x)
            seen = []
            for draw in range(-warm_up, draws):
                momentum = torch.randn(target.length, generator=rng, dtype=torch.float64)
                turn = math.pi * torch.rand(1, generator=rng).item()
                rise, moved, there = _path(target, x, momentum, here, angle, max(1, round(turn / angle)))
                chance = math.exp(min(0.0, -rise)) if math.isfinite(rise) else 0.0
                if torch.rand(1, generator=rng).item() < chance:
                    x, here = moved, there
                if draw < 0 and chain == 0:
                    angle = min(LARGEST_ANGLE, angle * math.exp(GAIN * (chance - ACCEPTANCE)))
                if draw >= 0:
                    accepted, proposed = accepted + chance, proposed + 1
                    seen.append(here.excess)
                progress.update()
            found.append(seen)
    target.restore()
    return Posterior(np.array(found), accepted / proposed, angle, target.gradients)


@dataclass(frozen=True)
class _Place:
    """Excess loss (nats) at a place, and the gradient of n_beta times it in x."""

    excess: float
    kick: Tensor


class _Target:
    def __init__(self, loss: Loss, n_beta: float, gamma: float, batch_size: int):
        self.loss, self.n_beta, self.gamma, self.batch_size = loss, n_beta, gamma, batch_size
        self.anchor = [parameter.detach().clone() for parameter in loss.parameters]
        self.length = sum(parameter.numel() for parameter in loss.parameters)
        self.gradients = 0
        self.baseline = 0.0
        self.baseline = self.at(torch.zeros(self.length, dtype=torch.float64)).excess

    def at(self, x: Tensor) -> _Place:
        parts = (x / math.sqrt(self.gamma)).split([parameter.numel() for parameter in self.anchor])
        with torch.no_grad():
            for parameter, anchor, part in zip(self.loss.parameters, self.anchor, parts, strict=True):
                parameter.copy_(anchor + part.view_as(anchor))
        total, gradient = 0.0, torch.zeros(self.length, dtype=torch.float64)
        for start in range(0, self.loss.size, self.batch_size):
            sequences = np.arange(start, min(start + self.batch_size, self.loss.size))
            value = self.loss(sequences).sum() / self.loss.size
            gradient += torch.cat([part.flatten() for part in torch.autograd.grad(value, self.loss.parameters)])
            total += value.item()
        self.gradients += 1
        return _Place(total - self.baseline, gradient * (self.n_beta / math.sqrt(self.gamma)))

    @torch.no_grad()
    def restore(self) -> None:
        for parameter, anchor in zip(self.loss.parameters, self.anchor, strict=True):
            parameter.copy_(anchor)


def _path(
    target: _Target, x: Tensor, momentum: Tensor, here: _Place, angle: float, steps: int
) -> tuple[float, Tensor, _Place]:
    """The rise of the energy along a path of so many steps, its end, and what the loss is there."""
    cosine, sine = math.cos(angle), math.sin(angle)
    before = target.n_beta * here.excess + 0.5 * float(x.dot(x) + momentum.dot(momentum))
    place = here
    for _ in range(steps):
        momentum = momentum - 0.5 * angle * place.kick
        x, momentum = cosine * x + sine * momentum, cosine * momentum - sine * x
        place = target.at(x)
        if not math.isfinite(place.excess):
            return math.inf, x, place
        momentum = momentum - 0.5 * angle * place.kick
    after = target.n_beta * place.excess + 0.5 * float(x.dot(x) + momentum.dot(momentum))
    return after - before, x, place
