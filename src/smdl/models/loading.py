"""Causal language models on disk and in memory: loading, losses of token blocks, manifests."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from smdl.foundation.errors import StudyError
from smdl.hub import SOURCE
from smdl.models.parameters import StoredTensor, contents, tensors

DTYPES = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16}
NOTHING = -100
"""A label that asks for no prediction."""


_chosen: ContextVar[torch.device | None] = ContextVar("device", default=None)


def device() -> torch.device:
    """The GPU that the job was given, else the CPU; within ``on`` the one that was chosen."""
    return _chosen.get() or torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def on(device: torch.device) -> Iterator[None]:
    """Within, models are loaded and made on this device."""
    before = _chosen.set(device)
    try:
        yield
    finally:
        _chosen.reset(before)


def load(folder: str | Path, dtype: str = "float32") -> nn.Module:
    """The model of a checkpoint folder in Hugging Face format, ready to evaluate; no network, no remote code.

    One in ``tf32`` has weights in float32, and its losses and their gradients are computed with the products of a GPU's
    TF32, of 10 bits; all else is computed exactly.

    Raises StudyError where the folder does not hold all weights of a model that transformers can load, and only those.
    """
    from transformers import AutoModelForCausalLM

    contents(folder)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=DTYPES[dtype], local_files_only=True, trust_remote_code=False, low_cpu_mem_usage=True
        )
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise StudyError(f"{folder}: no causal language model that transformers can load ({reason})") from error
    model.config.use_cache = False
    model.tf32 = dtype == "tf32"
    return model.to(device()).eval()


def sequence_losses(model: nn.Module, tokens: Tensor, labels: Tensor | None = None) -> Tensor:
    """Mean next-token cross-entropy (nats) of each token block.

    ``tokens`` has shape (batch, context); the result (batch,), in float32, differentiable in the model's parameters.
    ``labels``, of the same shape, are what is to be predicted where that is not the tokens themselves.
    """
    logits = model(input_ids=tokens).logits
    labels = tokens if labels is None else labels
    # A view of all logits, whose last ones predict nothing: a slice or a transpose would be copied, and they can be
    # larger than the model.
    wanted = functional.pad(labels[:, 1:], (0, 1), value=NOTHING)
    token_losses = functional.cross_entropy(
        logits.flatten(0, 1).float(), wanted.flatten(), reduction="none", ignore_index=NOTHING
    )
    return token_losses.view(wanted.shape)[:, :-1].mean(dim=1)


@torch.no_grad()
def block_losses(model: nn.Module, blocks: np.ndarray, batch_size: int, autocast: bool = False) -> np.ndarray:
    """Losses (nats) of all ``blocks``, shape (blocks, context), in batches; shape (blocks,), float64."""
    loss = BlockLoss(model, blocks, autocast)
    parts = [
        loss(np.arange(start, min(start + batch_size, len(blocks)))).double().cpu().numpy()
        for start in range(0, len(blocks), batch_size)
    ]
    return np.concatenate(parts)


def as_tokens(blocks: np.ndarray, model: nn.Module) -> Tensor:
    """Token blocks as an index tensor on the model's device."""
    return torch.from_numpy(np.asarray(blocks, dtype=np.int64)).to(next(model.parameters()).device)


class BlockLoss:
    """The loss of a model over token blocks, as the sampler sees it (smdl.llc.sampler.Loss).

    To save memory, ``autocast`` computes in bfloat16, and ``checkpointing`` keeps a layer's input alone for the
    backward pass, which computes the rest again.
    """

    def __init__(self, model: nn.Module, blocks: np.ndarray, autocast: bool = False, checkpointing: bool = False):
        self.model = model
        self.autocast = autocast
        if checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            # The library checkpoints layers in training mode only; what is in them stays as it is: GPT-2 has dropout.
            for module in model.modules():
                module.training = getattr(module, "gradient_checkpointing", False)
        self.blocks = blocks
        self.parameters = list(model.parameters())
        self.size = len(blocks)

    def __call__(self, sequences: np.ndarray) -> Tensor:
        tokens = as_tokens(self.blocks[sequences], self.model)
        if not getattr(self.model, "tf32", False):
            with torch.autocast(tokens.device.type, dtype=torch.bfloat16, enabled=self.autocast):
                return sequence_losses(self.model, tokens)
        with tf32():
            losses = sequence_losses(self.model, tokens)
        return _BackwardInTf32.apply(losses)


@contextmanager
def second_derivatives(model: nn.Module) -> Iterator[None]:
    """Within, the model's loss has second derivatives: fused attention, which is faster, has none."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@contextmanager
def tf32() -> Iterator[None]:
    """Within, a GPU multiplies float32 matrices in TF32."""
    matmul = torch.backends.cuda.matmul
    before, matmul.allow_tf32 = matmul.allow_tf32, True
    try:
        yield
    finally:
        matmul.allow_tf32 = before


class _BackwardInTf32(torch.autograd.Function):
    """Losses as they are; the backward pass that begins at them is in TF32, and what follows it is as before."""

    @staticmethod
    def forward(losses: Tensor) -> Tensor:
        return losses.view_as(losses)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        within = tf32()
        within.__enter__()
        torch.autograd.Variable._execution_engine.queue_callback(lambda: within.__exit__(None, None, None))
        return gradient


def stored_weights(folder: str | Path) -> dict[str, np.ndarray]:
    """Every parameter of a checkpoint by the model's own name, as float32; tied ones once, stored buffers not."""
    own = [tensor for tensor in contents(folder) if tensor.kind == "parameter"]
    return {tensor.parameter: numbers.float().numpy() for tensor, numbers in tensors(own)}


def check_corpus(model: nn.Module, blocks: np.ndarray) -> None:
    """StudyError where token blocks, shape (blocks, context), are longer or of more kinds than the model can read."""
    positions = getattr(model.config, "max_position_embeddings", None) or blocks.shape[1]
    vocabulary = model.get_input_embeddings().num_embeddings
    if blocks.shape[1] > positions:
        raise StudyError(
            f"{model.name_or_path}: the model reads {positions} tokens at a time, fewer than corpus.context,"
            f" {blocks.shape[1]}: lower corpus.context"
        )
    if blocks.max() >= vocabulary:
        raise StudyError(
            f"{model.name_or_path}: the corpus has token {blocks.max()}, but the model's vocabulary ends at"
            f" {vocabulary - 1}: corpus.tokenizer is not the model's own"
        )


def source(folder: str | Path) -> str:
    """The repository and commit that a folder's weights were downloaded from; empty for weights on this disk."""
    note = Path(folder) / SOURCE
    return note.read_text().strip() if note.is_file() else ""


def digest(tensor: Tensor) -> str:
    """The sha256 of a tensor's bytes."""
    return hashlib.sha256(tensor.contiguous().flatten().view(torch.uint8).numpy()).hexdigest()


def tensor_manifest(folder: str | Path) -> list[dict[str, Any]]:
    """A row for every tensor of a checkpoint: its source, name, kind, shape, dtype, sha256 and norm.

    Whether all elements are finite, and whether all are equal, too.
    """
    return [{"source": source(folder), **_described(*pair)} for pair in tensors(contents(folder))]


def _described(stored: StoredTensor, tensor: Tensor) -> dict[str, Any]:
    flat = tensor.flatten()
    return {
        "tensor": stored.name,
        "kind": stored.kind,
        "parameter": stored.parameter,
        "shape": json.dumps(list(tensor.shape)),
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "elements": tensor.numel(),
        "sha256": digest(tensor),
        "finite": bool(torch.isfinite(flat).all()),
        "constant": bool((flat == flat[:1]).all()),
        "norm": torch.linalg.vector_norm(flat.double()).item(),
    }
