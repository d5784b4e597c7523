"""Checkpoints of a small random GPT-NeoX, as files, in the forms that hubs serve them in."""

import io
import tempfile
from pathlib import Path

import safetensors.torch
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

SHAPE = {
    "vocab_size": 256,
    "hidden_size": 32,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
}


def small_model(seed: int, **shape: int) -> GPTNeoXForCausalLM:
    """A GPT-NeoX with random weights that ``seed`` decides."""
    torch.manual_seed(seed)
    return GPTNeoXForCausalLM(GPTNeoXConfig(**{**SHAPE, **shape}))


def files_of(model: GPTNeoXForCausalLM, *, form: str = "safetensors", shard: str = "5GB") -> dict[str, bytes]:
    """What ``save_pretrained`` writes, by path; ``form`` is "safetensors" or "bin", the pickle of older branches."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder, max_shard_size=shard)
        files = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    if form == "bin":
        pickled = io.BytesIO()
        torch.save(stored(files), pickled)
        files = {name: content for name, content in files.items() if not name.startswith("model")}
        files["pytorch_model.bin"] = pickled.getvalue()
    return files


def stored(files: dict[str, bytes]) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint's safetensors files, by the names they have on disk."""
    return {
        name: tensor
        for path, content in files.items()
        if path.endswith(".safetensors")
        for name, tensor in safetensors.torch.load(content).items()
    }
