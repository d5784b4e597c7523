"""Small GPT-NeoX models trained on the spot, their checkpoints written in Hugging Face format."""

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from smdl.compression.constraint import Constraint
from smdl.foundation.errors import StudyError
from smdl.models.loading import as_tokens, sequence_losses
from smdl.sources.train import Architecture, Training

# The stream of random numbers that noise on labels is drawn from, another than that of the minibatches.
LABELS = 1


def new_model(
    architecture: Architecture, vocabulary: int, context: int, seed: int, training: Training | None = None
) -> nn.Module:
    """A randomly initialised GPT-NeoX model with untied embeddings, for at most ``context`` tokens at once.

    ``training`` says how large its first weights are, and its dropout.
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
    return model


def train(
    model: nn.Module,
    blocks: np.ndarray,
    settings: Training,
    save_at: Sequence[int],
    seed: int,
    folder: Path,
    constraint: Constraint | None = None,
) -> Iterator[tuple[int, float]]:
    """Train ``model`` in place, writing ``folder``/step{step} at every step of ``save_at``, and yield (step, loss).

    The loss (nats per token) is that of the minibatch seen at the step, before the update. Under a projecting
    ``constraint`` the checkpoints are projected; under a straight-through one they are the uncompressed weights. Raises
    StudyError where the loss is not finite, and where ``blocks`` are fewer than a batch.
    """
    blocks = blocks[: math.ceil(settings.unique_share * len(blocks))]
    if len(blocks) < settings.batch_size:
        raise StudyError(
            f"training: {len(blocks)} blocks are left for training, fewer than a batch of {settings.batch_size}:"
            " smaller batches, more text, or fewer blocks in corpus.blocks"
        )
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    model.train()
    labels = noisy_labels(blocks, model.config.vocab_size, settings.label_noise, seed)
    order = _epochs(len(blocks), settings.batch_size, seed)
    for step in tqdm(range(max(save_at) + 1), desc="training", unit="step", mininterval=5):
        if constraint and (constraint.due(step) or (constraint.mode == "projection" and step in save_at)):
            constraint.project(model, step)
        if step in save_at:
            model.save_pretrained(folder / f"step{step}")
        optimizer.zero_grad()
        with constraint.passed_through(model, step) if constraint else nullcontext():
            chosen = next(order)
            tokens, wanted = (as_tokens(of[chosen], model) for of in (blocks, labels))
            loss = sequence_losses(model, tokens, wanted).mean()
            loss.backward()
        if not torch.isfinite(loss):
            raise StudyError(f"training: the loss is {loss.item()} at step {step}: lower lr (now {settings.lr:g})")
        yield step, loss.item()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, settings)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def learning_rate(step: int, settings: Training) -> float:
    """Linear warm-up, then the peak, or cosine decay to a tenth of it, as for Pythia (arXiv:2304.01373)."""
    if step < settings.warmup:
        return settings.lr * (step + 1) / settings.warmup
    if settings.schedule == "constant":
        return settings.lr
    done = (step - settings.warmup) / max(settings.steps - settings.warmup, 1)
    return settings.lr * (0.55 + 0.45 * np.cos(np.pi * min(done, 1.0)))


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
