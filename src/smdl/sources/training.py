"""Small GPT-NeoX models trained on the spot, their checkpoints written in Hugging Face format."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from smdl.compression import registry
from smdl.compression.constraint import Constraint
from smdl.corpus.blocks import load_split, read_splits
from smdl.foundation.errors import StudyError
from smdl.models.loading import as_tokens, block_losses, device, sequence_losses
from smdl.sources.schedule import learning_rate
from smdl.sources.train import Architecture, Keep, Recipe, Training, kept_at

# The stream of random numbers that noise on labels is drawn from, another than that of the minibatches.
LABELS = 1
EVALUATED_AT_ONCE = 64


def new_model(
    architecture: Architecture, vocabulary: int, context: int, seed: int, training: Training | None = None
) -> nn.Module:
    """A randomly initialised GPT-NeoX model with untied embeddings, for at most ``context`` tokens at once.

    ``training`` says how large its first weights are, and its dropout. The weights are drawn on the CPU, so that those
    of a seed are the same on every device.
    """
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    torch.manual_seed(seed)
    dropout = training.dropout if training else 0.0
    config = GPTNeoXConfig(
        vocab_size=vocabulary,
        hidden_size=architecture.hidden,
        num_hidden_layers=architecture.layers,
        num_attention_heads=architecture.heads,
        intermediate_size=4 * architecture.hidden,
        max_position_embeddings=context,
        tie_word_embeddings=False,
        use_cache=False,
        bos_token_id=0,
        eos_token_id=0,
        attention_dropout=dropout,
        hidden_dropout=dropout,
    )
    model = GPTNeoXForCausalLM(config)
    if training and training.init_scale != 1:
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.mul_(training.init_scale)
    return model.to(device())


class Run:
    """A run of training: the model, its optimizer, and its place in the order of the blocks.

    What it is at a step can be kept whole (``state``) and taken up again (``restore``): on one machine it then goes on
    as if it had not been interrupted, bit for bit. Raises StudyError where ``blocks`` are fewer than a batch.
    """

    def __init__(
        self,
        model: nn.Module,
        blocks: np.ndarray,
        settings: Training,
        seed: int,
        constraint: Constraint | None = None,
    ):
        self.model = model
        self.blocks = blocks[: math.ceil(settings.unique_share * len(blocks))]
        if len(self.blocks) < settings.batch_size:
            raise StudyError(
                f"training: {len(self.blocks)} blocks are left for training, fewer than a batch of"
                f" {settings.batch_size}: smaller batches, more text, or fewer blocks in corpus.blocks"
            )
        self.settings = settings
        self.seed = seed
        self.constraint = constraint
        self.step = 0
        """Steps taken so far."""
        self._labels = noisy_labels(self.blocks, model.config.vocab_size, settings.label_noise, seed)
        self._order = _epochs(len(self.blocks), settings.batch_size, seed)
        self._optimizer = torch.optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
        model.train()

    def advance(self, lr: float) -> float:
        """Take one step at learning rate ``lr``; the loss of its minibatch (nats per token) before the update.

        Raises StudyError where the loss is not finite.
        """
        self._optimizer.zero_grad()
        with self.constraint.passed_through(self.model, self.step) if self.constraint else nullcontext():
            chosen = next(self._order)
            tokens, wanted = (as_tokens(of[chosen], self.model) for of in (self.blocks, self._labels))
            loss = sequence_losses(self.model, tokens, wanted).mean()
            loss.backward()
        if not torch.isfinite(loss):
            raise StudyError(
                f"training: the loss is {loss.item()} at step {self.step}: lower lr (now {self.settings.lr:g})"
            )
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._optimizer.step()
        self.step += 1
        return loss.item()

    def evaluate(self, blocks: np.ndarray) -> float:
        """Mean loss (nats per token) over ``blocks``, without dropout."""
        self.model.eval()
        loss = block_losses(self.model, blocks, EVALUATED_AT_ONCE).mean()
        self.model.train()
        return float(loss)

    def state(self) -> dict[str, Any]:
        """All that decides how the run goes on."""
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "random": torch.get_rng_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a ``state`` of this run; the run has not taken a step."""
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        for _ in range(state["step"]):
            next(self._order)
        self.step = state["step"]


def started(recipe: Recipe, inputs: Mapping[str, str], seed: int) -> Run:
    """A run before its first step; ``inputs`` are the paths of the token blocks and of their splits.

    ``seed`` is the study's, for a recipe without its own.
    """
    splits = read_splits(inputs["splits"])
    training = recipe.training
    seed = seed if training.seed is None else training.seed
    imposed = None
    if named := recipe.constraint:
        imposed = Constraint(registry.build(named.scheme, named.variant), named.level, named.mode, named.every)
    model = new_model(recipe.architecture, splits[0].vocabulary, splits[0].context, seed, training)
    return Run(model, load_split(inputs["blocks"], splits, "training"), training, seed, imposed)


class Keeper:
    """Keeps the state of a run where its loss on ``evaluation`` first falls to each of some values, and at some steps.

    A state lies in ``folder``, named by what it was kept for. Of a value that is not reached in the steps of the
    schedule, the state at its end is kept, marked as such.
    """

    def __init__(self, keep: Keep, evaluation: np.ndarray, folder: Path):
        self.keep = keep
        self.evaluation = evaluation
        self.folder = folder
        folder.mkdir()
        self._losses = sorted(keep.losses, reverse=True)

    def look(self, run: Run) -> None:
        """Keep what is due before the next step."""
        if run.step in self.keep.steps:
            self._write(run, kept_at(step=run.step), reached=True)
        last = run.step == run.settings.steps
        if self._losses and run.step and (run.step % self.keep.every == 0 or last):
            loss = run.evaluate(self.evaluation)
            while self._losses and (loss <= self._losses[0] or last):
                target = self._losses.pop(0)
                self._write(run, kept_at(loss=target), reached=loss <= target)

    def waits(self, step: int) -> bool:
        """Whether something is still to be kept, at ``step`` or after it."""
        return bool(self._losses) or any(step <= wanted for wanted in self.keep.steps)

    def _write(self, run: Run, name: str, reached: bool) -> None:
        torch.save({**run.state(), "reached": reached}, self.folder / name)


def train(run: Run, save_at: Sequence[int], folder: Path, keeper: Keeper | None = None) -> Iterator[tuple[int, float]]:
    """Train until all is saved and kept, writing ``folder``/step{step} at every step of ``save_at``; (step, loss).

    The loss (nats per token) is that of the minibatch seen at the step, before the update. Under a projecting
    constraint the checkpoints are projected; under a straight-through one they are the uncompressed weights.
    """
    constraint, last = run.constraint, max(save_at, default=-1)
    steps = 1 + (run.settings.steps if keeper else last)
    with tqdm(total=steps, desc="training", unit="step", mininterval=5) as progress:
        while run.step <= last or (keeper and keeper.waits(run.step)):
            step = run.step
            if constraint and (constraint.due(step) or (constraint.mode == "projection" and step in save_at)):
                constraint.project(run.model, step)
            if step in save_at:
                run.model.save_pretrained(folder / f"step{step}")
            if keeper:
                keeper.look(run)
            yield step, run.advance(learning_rate(step, run.settings))
            progress.update()


def decay(run: Run, steps: int) -> list[float]:
    """Take ``steps`` with a learning rate that falls linearly to zero from what it is now; the losses on the way."""
    rate = learning_rate(run.step, run.settings)
    return [run.advance(rate * (1 - done / steps)) for done in range(steps)]


def average(run: Run, steps: int, count: int) -> list[float]:
    """Go on for ``steps`` and give the model the mean of ``count`` evenly spaced weights on the way, the last included.

    With fewer steps than ``count`` it is the mean of all. Returns the losses on the way.
    """
    taken = set(np.linspace(steps, 0, min(count, steps), endpoint=False).round().astype(int).tolist())
    total = [torch.zeros_like(parameter) for parameter in run.model.parameters()]
    losses = []
    for done in range(1, steps + 1):
        losses.append(run.advance(learning_rate(run.step, run.settings)))
        if done in taken:
            for own, parameter in zip(total, run.model.parameters(), strict=True):
                own.add_(parameter.detach())
    if taken:
        with torch.no_grad():
            for own, parameter in zip(total, run.model.parameters(), strict=True):
                parameter.copy_(own / len(taken))
    return losses


def noisy_labels(blocks: np.ndarray, vocabulary: int, share: float, seed: int) -> np.ndarray:
    """The ``blocks`` with each token replaced, with probability ``share``, by one drawn from the whole vocabulary."""
    if not share:
        return blocks
    random = np.random.default_rng((seed, LABELS))
    replaced = random.random(blocks.shape) < share
    return np.where(replaced, random.integers(0, vocabulary, blocks.shape, dtype=blocks.dtype), blocks)


def _epochs(blocks: int, batch_size: int, seed: int) -> Iterator[np.ndarray]:
    """Minibatches of block indices, a fresh shuffle every epoch; a batch is not larger than the blocks."""
    random = np.random.default_rng(seed)
    while True:
        shuffled = random.permutation(blocks)
        for start in range(0, blocks - batch_size + 1, batch_size):
            yield np.sort(shuffled[start : start + batch_size])
