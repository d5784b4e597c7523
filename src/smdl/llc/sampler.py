"""RMSprop-preconditioned stochastic gradient Langevin dynamics (pSGLD) around a fixed point w*.

The chain targets the localised Gibbs posterior of Lau et al. (arXiv:2308.12108),

    p(w) ~ exp{ -n_beta L_n(w) - gamma/2 |w - w*|^2 },

and moves by (Li et al., arXiv:1512.07666, without the correction term, as in the reference study's library)

    V <- alpha V + (1 - alpha) g*g,   V_0 = 0, no bias correction,   G = 1 / (sqrt(V) + eps_rms),
    w <- w - lr/2 G (n_beta g + gamma (w - w*)) + sqrt(lr G) N(0, I),

with g the gradient of the minibatch loss. With a fixed preconditioner V is the mean of g*g over minibatches at w*, and
stays: no correction term is missing then. Everything random is a function of (seed, chain, step): a chain can be taken
up at any step, and chains of different checkpoints share their minibatches and their noise.

A chain may take a control along, which has its preconditioner and its noise and no loss:

    c <- c - lr/2 G gamma (c - w*) + sqrt(lr G) N(0, I).

It costs a forward pass where its loss is wanted, follows the chain as far as the localisation moves it, and is a draw
of N(w*, 1/gamma) from its start on, of which others can be had without any chain (``localised``): a control variate.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from smdl.foundation.errors import StudyError
from smdl.llc.noise import GROUP
from smdl.llc.settings import Memory, Sampler
from smdl.llc.update import Move, Vectors, update_for

# Draws of the localisation are made in parts, since their noise lies in memory.
PART = {"cpu": 1 << 16, "cuda": 1 << 24}
# Minibatches from which a fixed preconditioner is made.
AT_ANCHOR = 32
# Up to this many weights the whole gradient is held and all move at once: a call per parameter would cost more.
HELD = 1 << 22
MEDIAN_OF = 1 << 20
# Draws without a chain have noise and minibatches of their own: those of steps that no chain reaches.
FIRST_LOCALISED, CONTROL_START = 1 << 31, (1 << 31) - 1


class Loss(Protocol):
    """A mean loss L_n over ``size`` sequences, as the sampler sees it.

    The loss of a stack of chains has parameters with a leading axis of chains; it takes indices of shape (chains,
    batch) and gives losses of that shape.
    """

    parameters: Sequence[Tensor]
    """Leaf tensors of one dtype and device; the sampler changes them in place."""
    size: int
    """How many sequences there are to draw minibatches from."""

    def __call__(self, sequences: np.ndarray) -> Tensor:
        """Losses (nats) of the sequences with the given indices, shape (len(sequences),), differentiable."""
        ...


@dataclass(frozen=True)
class Step:
    """What one step saw, before it moved: its minibatch, that minibatch's losses (nats), the distance from w*."""

    step: int
    sequences: np.ndarray
    losses: Tensor
    distance: float
    control: Tensor | None = None
    """Losses of the control (nats) on the same minibatch, where they were asked for."""


@dataclass(frozen=True)
class StackedStep:
    """As Step, for a stack of chains; shapes (chains, batch), (chains, batch) and (chains,)."""

    step: int
    sequences: np.ndarray
    losses: Tensor
    distances: np.ndarray


class Walker:
    """The moving part of a chain, or of a stack of them: weights w, anchor w* and preconditioner V, each a flat vector.

    The loss's parameters become views of the flat weights, so that no copy of the model is made. Each parameter moves
    within the backward pass, as soon as its gradient is whole, and the gradient is dropped: no full gradient is held.
    A small model moves as a whole after it.
    Without ``compile`` the plain form of the update does its work (smdl.llc.update).
    """

    def __init__(
        self,
        loss: Loss,
        settings: Sampler,
        chains: int = 1,
        memory: Memory | None = None,
        compile: bool = True,
        control: bool = False,
    ):
        self.loss = loss
        self.settings = settings
        self.chains = chains
        self.memory = memory or Memory()
        self.weights = _flatten(loss.parameters)
        # w* of weights in bfloat16 is exact in bfloat16.
        rough = self.weights.dtype == torch.bfloat16 or self.memory.anchor == "bfloat16"
        self.anchor = self.weights.to(torch.bfloat16 if rough else torch.float32, copy=True)
        self.second_moment = torch.zeros_like(self.weights, dtype=getattr(torch, self.memory.second_moment))
        self.control = torch.empty_like(self.weights) if control else None
        self.reset()
        self._update = update_for(self.weights.device, compile)
        self._move: Move | None = None
        self._squared_distances = torch.zeros(chains, dtype=torch.float64, device=self.weights.device)
        self._gradient = self._held_gradient()
        self._squares: Tensor | None = None
        if self._gradient is None:
            self._hook()
        if settings.preconditioner == "fixed":
            self._fix()

    def reset(self) -> None:
        """Back to w*, with an empty preconditioner unless it is fixed: the start of a chain."""
        self.weights.copy_(self.anchor)
        if self.settings.preconditioner == "adaptive":
            self.second_moment.zero_()
        if self.control is not None:
            self.control.copy_(self.anchor)

    def localise(self, seed: int, chain: int) -> None:
        """The weights at a draw of N(w*, 1/gamma), gamma above 0: where a chain is at rest without a loss."""
        self._displace(self.weights, seed, chain, CONTROL_START)

    def stability(self) -> tuple[float, float]:
        """lr G gamma / 2 with the preconditioner as it stands: its largest value, and its median over the weights.

        From 1 on a step overshoots w*, from 2 on the localisation diverges. The median is that of a regular sample.
        """
        its = self.settings
        sample = self.second_moment[:: 1 + len(self.second_moment) // MEDIAN_OF].float()
        least = torch.stack([self.second_moment.min().float(), sample.median()])
        largest, median = (its.lr * its.gamma / 2 / (least.sqrt() + its.eps_rms)).tolist()
        return largest, median

    def noise_temperature(self, n_beta: float) -> float:
        """What minibatch gradients add to the variance of a step, over that of its Langevin noise; mean over weights.

        lr G n_beta^2 V / 4, with the second moment V of minibatch gradients as it stands: a bound, since V holds the
        square of the mean gradient too. The mean is that of a regular sample.
        """
        sample = self.second_moment[:: 1 + len(self.second_moment) // MEDIAN_OF].float()
        preconditioner = 1 / (sample.sqrt() + self.settings.eps_rms)
        return float((preconditioner * sample).mean()) * self.settings.lr * n_beta**2 / 4

    def walk(self, seed: int, chain: int, n_beta: float, start: int = 0) -> Iterator[Step]:
        """Take the steps of one chain from ``start`` on; each is yielded with what was seen at the weights it left.

        When a step is yielded the move has been made, so the walker's vectors are the state after it.
        Raises StudyError where the loss is no longer finite.
        """
        if start == 0:
            self._place_control(seed, chain)
        for step in range(start, self.settings.steps):
            sequences = minibatch(seed, chain, step, self.loss.size, self.settings.batch_size)
            control = self._control_losses(sequences, chain, step)
            losses = self._step(sequences, seed, [chain], step, n_beta)
            yield Step(step, sequences, losses, float(self._distances()[0]), control)

    def _place_control(self, seed: int, chain: int) -> None:
        """The control at a draw of N(w*, 1/gamma), where it stays at rest however slowly it forgets its start."""
        if self.control is not None and self.settings.gamma:
            self._displace(self.control, seed, chain, CONTROL_START)

    @torch.no_grad()
    def localised(self, seed: int, chain: int, draws: int, batch_size: int) -> Iterator[Step]:
        """Independent draws of N(w*, 1/gamma) in pairs, forward only; gamma is above 0.

        The draws of a pair lie on either side of w* and see one minibatch; what is yielded of a pair is their mean
        losses. Afterwards the walker is at w*, as after ``reset``.
        """
        for number in range(draws):
            at = FIRST_LOCALISED + number
            sequences = minibatch(seed, chain, at, self.loss.size, batch_size)
            self._displace(self.weights, seed, chain, at)
            losses = self._losses(sequences, [chain], at)
            self._mirror()
            yield Step(number, sequences, (losses + self._losses(sequences, [chain], at)) / 2, math.nan)
        self.reset()

    def _displace(self, weights: Tensor, seed: int, chain: int, step: int) -> None:
        """Put ``weights`` at a draw of N(w*, 1/gamma)."""
        scale = self.settings.gamma**-0.5
        for part in self._parts():
            anchor = self.anchor[part].float()
            where = (seed, chain, step, part.start, len(anchor))
            weights[part] = torch.add(anchor, self._update.normals(*where), alpha=scale).to(weights.dtype)

    def _mirror(self) -> None:
        """Weights on the other side of w*."""
        for part in self._parts():
            self.weights[part] = (2 * self.anchor[part].float() - self.weights[part].float()).to(self.weights.dtype)

    def _parts(self) -> Iterator[slice]:
        chunk = PART[self.weights.device.type]
        return (slice(start, start + chunk) for start in range(0, len(self.weights), chunk))

    @torch.no_grad()
    def _control_losses(self, sequences: np.ndarray, chain: int, step: int) -> Tensor | None:
        """Losses of the control at a draw; None between draws, in burn-in, and without a control."""
        draw = self.settings.draw_of(step)
        if self.control is None or draw is None or draw < 0:
            return None
        parameters = self.loss.parameters
        own = [parameter.data for parameter in parameters]
        for parameter, at in zip(parameters, self.control.split([p.numel() for p in parameters]), strict=True):
            parameter.data = at.view_as(parameter)
        try:
            return self._losses(sequences, [chain], step)
        finally:
            for parameter, data in zip(parameters, own, strict=True):
                parameter.data = data

    def _losses(self, sequences: np.ndarray, chains: Sequence[int], step: int) -> Tensor:
        """Losses without gradients, in parts that fit in memory."""
        size = self.settings.sequences_at_once or len(sequences)
        parts = [self.loss(sequences[start : start + size]) for start in range(0, len(sequences), size)]
        losses = torch.cat(parts)
        self._check(losses.mean().item(), chains, step, 0.0)
        return losses

    def walk_stack(self, seed: int, chains: Sequence[int], n_beta: float, start: int = 0) -> Iterator[StackedStep]:
        """As ``walk``, for the stack's chains at once; each has the numbers that it has alone, up to rounding."""
        for step in range(start, self.settings.steps):
            batches = [minibatch(seed, chain, step, self.loss.size, self.settings.batch_size) for chain in chains]
            sequences = np.stack(batches)
            losses = self._step(sequences, seed, chains, step, n_beta)
            yield StackedStep(step, sequences, losses, self._distances())

    def _step(self, sequences: np.ndarray, seed: int, chains: Sequence[int], step: int, n_beta: float) -> Tensor:
        """Losses at the weights as they are; then the move.

        What a step found is looked at once, when all its work is under way: a look earlier would make a GPU wait.
        """
        its = self.settings
        alpha = 1.0 if its.preconditioner == "fixed" else its.alpha
        move = Move(seed, tuple(chains), step, its.lr, n_beta, its.gamma, alpha, its.eps_rms)
        self._squared_distances.zero_()
        batch = sequences.shape[-1]
        size = its.sequences_at_once or batch
        seen = []
        for start in range(0, batch, size):
            losses = self.loss(sequences[..., start : start + size])
            self._move = move if start + size >= batch else None
            (losses.sum() / batch).backward()
            seen.append(losses.detach())
        self._move = None
        if self._gradient is not None:
            self._take(slice(None), 0, self._gradient, move)
            self._gradient.zero_()
        losses = torch.cat(seen, dim=-1)
        self._check(losses.mean().item(), chains, step, n_beta)
        return losses

    def _distances(self) -> np.ndarray:
        return self._squared_distances.sqrt().cpu().numpy()

    def _fix(self) -> None:
        """The second moment of minibatch gradients at w*, from minibatches that lie evenly over the sequences."""
        batch, size = self.settings.batch_size, self.settings.sequences_at_once or self.settings.batch_size
        starts = np.unique(np.linspace(0, self.loss.size - batch, AT_ANCHOR).astype(int))
        total = torch.zeros_like(self.weights, dtype=torch.float32)
        for start in starts:
            sequences = np.arange(start, start + batch)
            for at in range(0, batch, size):
                # What parameters have gathered is squared as soon as the minibatch is whole.
                self._squares = total if at + size >= batch else None
                part = sequences[at : at + size]
                losses = self.loss(np.tile(part, (self.chains, 1)) if self.chains > 1 else part)
                self._check(losses.mean().item(), range(self.chains), 0, 0.0)
                (losses.sum() / batch).backward()
            if self._gradient is not None:
                total.addcmul_(self._gradient, self._gradient)
                self._gradient.zero_()
        self._squares = None
        self.second_moment.copy_(total.div_(len(starts)))

    def _check(self, loss: float, chains: Sequence[int], step: int, n_beta: float) -> None:
        if not math.isfinite(loss):
            raise StudyError(
                f"chain {', '.join(map(str, chains))} left the finite losses at step {step} (loss {loss}): lower lr"
                f" (now {self.settings.lr:g}), n_beta (now {n_beta:g}) or gamma (now {self.settings.gamma:g})"
            )

    def _held_gradient(self) -> Tensor | None:
        """A flat gradient that the backward pass adds to, for one chain of a small model; None where there is none.

        Every parameter is a whole number of the noise's groups long, so that noise lies as it does parameter by
        parameter.
        """
        parameters = self.loss.parameters
        aligned = all(parameter.numel() % GROUP == 0 for parameter in parameters)
        if self.chains > 1 or not aligned or len(self.weights) > HELD or self.weights.dtype != torch.float32:
            return None
        gradient = torch.zeros_like(self.weights)
        for parameter, part in zip(parameters, gradient.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = part.view_as(parameter)
        return gradient

    def _hook(self) -> None:
        offset = place = 0
        for parameter in self.loss.parameters:
            rows = slice(offset, offset + parameter.numel())
            parameter.register_post_accumulate_grad_hook(self._mover(rows, place))
            offset = rows.stop
            place += -(-parameter.numel() // self.chains // GROUP) * GROUP

    def _mover(self, rows: slice, place: int):
        """The hook of one parameter, which lies in ``rows`` of the flat vectors; its noise begins at ``place``."""

        def move(parameter: Tensor) -> None:
            if self._move is not None:
                self._take(rows, place, parameter.grad, self._move)
                parameter.grad = None
            elif self._squares is not None:
                gradient = parameter.grad.flatten().float()
                self._squares[rows].addcmul_(gradient, gradient)
                parameter.grad = None

        return move

    @torch.no_grad()
    def _take(self, rows: slice, place: int, gradient: Tensor, move: Move) -> None:
        """Move what lies in ``rows`` of the flat vectors."""
        shape = (self.chains, -1)
        weights, anchor, second_moment = (t[rows].view(shape) for t in (self.weights, self.anchor, self.second_moment))
        control = None if self.control is None else self.control[rows].view(shape)
        vectors = Vectors(weights, gradient.reshape(shape), anchor, second_moment, control)
        self._squared_distances += self._update(vectors, move, place)


def minibatch(seed: int, chain: int, step: int, size: int, batch_size: int) -> np.ndarray:
    """Indices of a step's minibatch, shape (batch_size,): the next part of a shuffled epoch over the sequences.

    Within an epoch no sequence comes twice, so that the mean over many steps has less of the minibatches' noise than
    with minibatches drawn anew each step. What does not fill a minibatch is left out of its epoch.
    """
    if batch_size == size:
        return np.arange(size)
    epoch, place = divmod(step, size // batch_size)
    order = np.random.default_rng([seed, chain, epoch, 0]).permutation(size)
    return order[place * batch_size : (place + 1) * batch_size]


@torch.no_grad()
def _flatten(parameters: Sequence[Tensor]) -> Tensor:
    flat = torch.empty(sum(p.numel() for p in parameters), dtype=parameters[0].dtype, device=parameters[0].device)
    offset = 0
    for parameter in parameters:
        view = flat[offset : offset + parameter.numel()].view_as(parameter)
        view.copy_(parameter)
        parameter.data = view
        offset += parameter.numel()
    return flat
