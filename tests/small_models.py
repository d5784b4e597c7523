"""Small models and token blocks on which compression is tested."""

from functools import cache

import numpy as np
import torch
from torch import nn

from smdl.compression.weights import Weights
from smdl.corpus.blocks import byte_tokens, cut, package_text
from smdl.models.loading import as_tokens, sequence_losses
from smdl.sources.train import Architecture
from smdl.sources.training import new_model

CONTEXT = 32


@cache
def kjv_blocks() -> np.ndarray:
    return cut(byte_tokens(package_text("kjv")), 256, CONTEXT, {"sampling": 0, "evaluation": 0, "calibration": 0}, 0)[0]


def blocks_of(split: str) -> np.ndarray:
    """Disjoint blocks: 64 for evaluation, 32 for calibration, the rest for training."""
    return {"evaluation": kjv_blocks()[:64], "calibration": kjv_blocks()[64:96], "training": kjv_blocks()[96:]}[split]


def trained(layers: int = 3, hidden: int = 32, steps: int = 150) -> nn.Module:
    """A GPT-NeoX model far enough into training that compression hurts it."""
    model = new_model(Architecture(layers=layers, hidden=hidden, heads=2), 256, CONTEXT, 0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for step in range(steps):
        batch = blocks_of("training")[16 * step : 16 * (step + 1)]
        sequence_losses(model, as_tokens(batch, model)).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def neox(dtype: torch.dtype = torch.float32) -> nn.Module:
    """A small GPT-NeoX model at its random start, its biases and norms moved off their constant values."""
    model = new_model(Architecture(layers=3, hidden=16, heads=4), 256, CONTEXT, 0)
    return _moved(model).to(dtype).eval()


def llama(tied: bool) -> nn.Module:
    """A small Llama whose four heads share two sets of keys and values."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=256,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=24,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=tied,
        use_cache=False,
    )
    return _moved(LlamaForCausalLM(config)).eval()


def olmo2() -> nn.Module:
    """A small OLMo 2, which normalises queries and keys over all heads together."""
    from transformers import Olmo2Config, Olmo2ForCausalLM

    torch.manual_seed(0)
    config = Olmo2Config(
        vocab_size=256,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        intermediate_size=24,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        use_cache=False,
    )
    return _moved(Olmo2ForCausalLM(config)).eval()


def gpt2() -> nn.Module:
    """A small GPT-2: tied embeddings, transposed and fused linear maps."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=256,
        n_embd=16,
        n_layer=3,
        n_head=4,
        n_positions=CONTEXT,
        bos_token_id=0,
        eos_token_id=0,
        use_cache=False,
    )
    return _moved(GPT2LMHeadModel(config)).eval()


def weights_of(model: nn.Module, dense_bits: int = 32) -> Weights:
    return Weights(model, dense_bits, blocks_of("calibration"))


def _moved(model: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model
