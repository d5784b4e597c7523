"""RMSprop-preconditioned stochastic gradient Langevin dynamics (pSGLD) around a fixed point w*.

The chain targets the localised Gibbs posterior of Lau et al. (arXiv:2308.12108),

    p(w) ~ exp{ -n_beta L_n(w) - gamma/2 |w - w*|^2 },

and moves by (Li et al., arXiv:1512.07666, without the correction term, as in the reference study's library)

    V <- alpha V + (1 - alpha) g*g,   V_0 = 0, no bias correction,   G = 1 / (sqrt(V) + eps_rms),
    w <- w - lr/2 G (n_beta g + gamma (w - w*)) + sqrt(lr G) N(0, I),

with g the gradient of the minibatch loss. Everything random is a function of (seed, chain, step): a chain can be taken
up at any step, and chains of different checkpoints share their minibatches and their noise.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from smdl.errors import StudyError

# A chunk of the update fits the second-level cache, so that its dozen operations pass over main memory once.
CHUNK = 1 << 16
DISTANCE_CHUNK = 1 << 24


class Loss(Protocol):
    """A mean loss L_n over ``size`` sequences, as the sampler sees it."""

    parameters: Sequence[Tensor]
    """Leaf tensors of one dtype and device; the sampler changes them in place."""
    size: int
    """How many sequences there are to draw minibatches from."""

    def __call__(self, sequences: np.ndarray) -> Tensor:
        """Losses (nats) of the sequences with the given indices, shape (len(sequences),), differentiable."""
        ...


@dataclass(frozen=True)
class SamplerSettings:
    """Settings of one chain; ``n_beta`` 0 gives the control, localisation noise alone."""

    lr: float
    n_beta: float
    gamma: float
    alpha: float
    eps_rms: float
    batch_size: int
    burn_in: int
    draws: int
    steps_between_draws: int
    sequences_at_once: int | None = None
    """Sequences a backward pass; the gradient is that of the whole minibatch. None takes all at once."""

    @property
    def steps(self) -> int:
        """All steps of a chain, burn-in included."""
        return self.burn_in + self.draws * self.steps_between_draws

    @property
    def stability(self) -> float:
        """lr G gamma / 2 at G = 1/eps_rms, its largest value; the localisation is stable below 2."""
        return self.lr * self.gamma / (2 * self.eps_rms)


@dataclass(frozen=True)
class Step:
    """What one step saw, before it moved: its minibatch, that minibatch's losses (nats), the distance from w*."""

    step: int
    sequences: np.ndarray
    losses: Tensor
    distance: float


class Walker:
    """The moving part of a chain: weights w, anchor w* and preconditioner V, each one flat vector.

    The loss's parameters become views of the flat weights, and their gradients of a flat gradient, so that no copy of
    the model is made and the update runs over plain vectors.
    """

    def __init__(self, loss: Loss, settings: SamplerSettings):
        self.loss = loss
        self.settings = settings
        self.weights = _flatten(loss.parameters)
        self.gradient = torch.zeros_like(self.weights)
        _view_gradients(loss.parameters, self.gradient)
        self.anchor = self.weights.clone()
        self.second_moment = torch.zeros_like(self.weights)

    def reset(self) -> None:
        """Back to w*, with an empty preconditioner: the start of a chain."""
        self.weights.copy_(self.anchor)
        self.second_moment.zero_()

    def walk(self, seed: int, chain: int, n_beta: float, start: int = 0) -> Iterator[Step]:
        """Take the steps from ``start`` on; each is yielded with what was seen at the weights it left.

        When a step is yielded the move has been made, so the walker's vectors are the state after it.
        Raises StudyError where the loss is no longer finite.
        """
        for step in range(start, self.settings.steps):
            sequences = minibatch(seed, chain, step, self.loss.size, self.settings.batch_size)
            losses = self._backward(sequences)
            mean = losses.mean().item()
            if not math.isfinite(mean):
                raise StudyError(
                    f"chain {chain} left the finite losses at step {step} (loss {mean}): lower lr"
                    f" (now {self.settings.lr:g}), n_beta (now {n_beta:g}) or gamma (now {self.settings.gamma:g})"
                )
            distance = self._distance()
            self._move(noise_generator(seed, chain, step, self.weights.device), n_beta)
            yield Step(step, sequences, losses, distance)

    def _backward(self, sequences: np.ndarray) -> Tensor:
        """Put the gradient of the minibatch's mean loss in place; the losses (nats), shape (len(sequences),)."""
        self.gradient.zero_()
        at_once = self.settings.sequences_at_once or len(sequences)
        parts = []
        for start in range(0, len(sequences), at_once):
            losses = self.loss(sequences[start : start + at_once])
            (losses.sum() / len(sequences)).backward()
            parts.append(losses.detach())
        return torch.cat(parts)

    def _distance(self) -> float:
        """Euclidean distance from w*, in chunks, so that the difference never stands in memory whole."""
        pairs = zip(self.weights.split(DISTANCE_CHUNK), self.anchor.split(DISTANCE_CHUNK), strict=True)
        parts = [torch.linalg.vector_norm(weights - anchor) for weights, anchor in pairs]
        return torch.linalg.vector_norm(torch.stack(parts).double()).item()

    @torch.no_grad()
    def _move(self, generator: torch.Generator, n_beta: float) -> None:
        for start in range(0, self.weights.numel(), CHUNK):
            part = slice(start, start + CHUNK)
            update(
                self.weights[part],
                self.gradient[part],
                self.anchor[part],
                self.second_moment[part],
                torch.randn(self.weights[part].shape, generator=generator, device=self.weights.device),
                self.settings,
                n_beta,
            )


def update(
    weights: Tensor,
    gradient: Tensor,
    anchor: Tensor,
    second_moment: Tensor,
    noise: Tensor,
    settings: SamplerSettings,
    n_beta: float,
) -> None:
    """One pSGLD update in place of ``weights`` and ``second_moment``; all tensors have one shape."""
    second_moment.mul_(settings.alpha).addcmul_(gradient, gradient, value=1 - settings.alpha)
    preconditioner = second_moment.sqrt().add_(settings.eps_rms).reciprocal_().mul_(settings.lr)
    drift = (weights - anchor).mul_(settings.gamma).add_(gradient, alpha=n_beta)
    weights.addcmul_(preconditioner, drift, value=-0.5).addcmul_(preconditioner.sqrt_(), noise)


def minibatch(seed: int, chain: int, step: int, size: int, batch_size: int) -> np.ndarray:
    """Indices of a step's minibatch, drawn without replacement; shape (batch_size,)."""
    return np.random.default_rng([seed, chain, step, 0]).choice(size, size=batch_size, replace=False)


def noise_generator(seed: int, chain: int, step: int, device: torch.device) -> torch.Generator:
    """The generator of a step's Langevin noise."""
    state = np.random.SeedSequence([seed, chain, step, 1]).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(state[0] >> 1))


@torch.no_grad()
def _flatten(parameters: Sequence[Tensor]) -> Tensor:
    flat = torch.empty(sum(p.numel() for p in parameters), dtype=parameters[0].dtype, device=parameters[0].device)
    for view, parameter in _views(flat, parameters):
        view.copy_(parameter)
        parameter.data = view
    return flat


def _view_gradients(parameters: Sequence[Tensor], gradient: Tensor) -> None:
    for view, parameter in _views(gradient, parameters):
        parameter.grad = view


def _views(flat: Tensor, parameters: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    offset = 0
    for parameter in parameters:
        yield flat[offset : offset + parameter.numel()].view_as(parameter), parameter
        offset += parameter.numel()
