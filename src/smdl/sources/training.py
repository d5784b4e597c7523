"""Small GPT-NeoX models trained on the spot, their checkpoints written in Hugging Face format."""

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


def new_model(architecture: Architecture, vocabulary: int, context: int, seed: int) -> nn.Module:
    """A randomly initialised GPT-NeoX model with untied embeddings, for at most ``context`` tokens at once."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    torch.manual_seed(seed)
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
    )
    return GPTNeoXForCausalLM(config)


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
    if len(blocks) < settings.batch_size:
        raise StudyError(
            f"training: {len(blocks)} blocks are left for training, fewer than a batch of {settings.batch_size}:"
            " smaller batches, more text, or fewer blocks in corpus.blocks"
        )
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    model.train()
    order = _epochs(len(blocks), settings.batch_size, seed)
    for step in tqdm(range(max(save_at) + 1), desc="training", unit="step", mininterval=5):
        if constraint and (constraint.due(step) or (constraint.mode == "projection" and step in save_at)):
            constraint.project(model, step)
        if step in save_at:
            model.save_pretrained(folder / f"step{step}")
        optimizer.zero_grad()
        with constraint.passed_through(model, step) if constraint else nullcontext():
            loss = sequence_losses(model, as_tokens(blocks[next(order)], model)).mean()
            loss.backward()
        if not torch.isfinite(loss):
            raise StudyError(f"training: the loss is {loss.item()} at step {step}: lower lr (now {settings.lr:g})")
        yield step, loss.item()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, settings)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def learning_rate(step: int, settings: Training) -> float:
    """Linear warm-up, then cosine decay to a tenth of the peak, as for Pythia (arXiv:2304.01373)."""
    if step < settings.warmup:
        return settings.lr * (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(settings.steps - settings.warmup, 1)
    return settings.lr * (0.55 + 0.45 * np.cos(np.pi * min(done, 1.0)))


def _epochs(blocks: int, batch_size: int, seed: int) -> Iterator[np.ndarray]:
    """Minibatches of block indices, a fresh shuffle every epoch; a batch is not larger than the blocks."""
    random = np.random.default_rng(seed)
    while True:
        shuffled = random.permutation(blocks)
        for start in range(0, blocks - batch_size + 1, batch_size):
            yield np.sort(shuffled[start : start + batch_size])
