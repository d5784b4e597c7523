"""Causal language models on disk and in memory: loading, losses of token blocks, manifests."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional

from smdl.errors import StudyError

# Written beside downloaded weights: the repository and commit they came from.
SOURCE = "source.txt"

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def device() -> torch.device:
    """The GPU that the job was given, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load(folder: str | Path, dtype: str = "float32") -> nn.Module:
    """The model of a checkpoint folder in Hugging Face format, ready to evaluate; no network, no remote code.

    Raises StudyError where the folder holds no model that transformers can load.
    """
    from transformers import AutoModelForCausalLM

    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=DTYPES[dtype], local_files_only=True, trust_remote_code=False, low_cpu_mem_usage=True
        )
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise StudyError(f"{folder}: no causal language model that transformers can load ({reason})") from error
    model.config.use_cache = False
    return model.to(device()).eval()


def sequence_losses(model: nn.Module, tokens: Tensor) -> Tensor:
    """Mean next-token cross-entropy (nats) of each token block.

    ``tokens`` has shape (batch, context); the result (batch,), in float32, differentiable in the model's parameters.
    """
    logits = model(input_ids=tokens).logits[:, :-1].float()
    token_losses = functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")
    return token_losses.mean(dim=1)


@torch.no_grad()
def block_losses(model: nn.Module, blocks: np.ndarray, batch_size: int) -> np.ndarray:
    """Losses (nats) of all ``blocks``, shape (blocks, context), in batches; shape (blocks,), float64."""
    parts = [
        sequence_losses(model, as_tokens(blocks[start : start + batch_size], model)).double().cpu().numpy()
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
            # The library checkpoints in training mode only; Pythia has no dropout for that mode to switch on.
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            model.train()
        self.blocks = blocks
        self.parameters = list(model.parameters())
        self.size = len(blocks)

    def __call__(self, sequences: np.ndarray) -> Tensor:
        tokens = as_tokens(self.blocks[sequences], self.model)
        with torch.autocast(tokens.device.type, dtype=torch.bfloat16, enabled=self.autocast):
            return sequence_losses(self.model, tokens)


def stored_tensors(folder: str | Path) -> Iterator[tuple[str, Tensor]]:
    """Name and content of every tensor in a folder's safetensors files, one at a time."""
    files = sorted(Path(folder).glob("*.safetensors"))
    if not files:
        raise StudyError(f"{folder}: no .safetensors file")
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - safe_open has no __iter__
                yield name, tensors.get_tensor(name)


def stored_weights(folder: str | Path) -> dict[str, np.ndarray]:
    """Every stored tensor of floating-point numbers by name, as float32."""
    return {name: tensor.float().numpy() for name, tensor in stored_tensors(folder) if tensor.is_floating_point()}


def source(folder: str | Path) -> str:
    """The repository and commit that a folder's weights were downloaded from; empty for weights on this disk."""
    note = Path(folder) / SOURCE
    return note.read_text().strip() if note.is_file() else ""


def digest(tensor: Tensor) -> str:
    """The sha256 of a tensor's bytes."""
    return hashlib.sha256(tensor.contiguous().flatten().view(torch.uint8).numpy()).hexdigest()


def tensor_manifest(folder: str | Path) -> list[dict[str, Any]]:
    """A row for every tensor of a checkpoint: its source, name, shape, dtype, sha256 and norm.

    Whether all elements are finite, and whether all are equal, too.
    """
    return [
        {
            "source": source(folder),
            "tensor": name,
            "shape": json.dumps(list(tensor.shape)),
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "elements": tensor.numel(),
            "sha256": digest(tensor),
            "finite": bool(torch.isfinite(tensor).all()),
            "constant": bool((tensor == tensor.flatten()[0]).all()),
            "norm": torch.linalg.vector_norm(tensor.double()).item(),
        }
        for name, tensor in stored_tensors(folder)
    ]
