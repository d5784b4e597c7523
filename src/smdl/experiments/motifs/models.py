"""The two kinds of model: GPT-NeoX, as in every study here, and Llama (no biases, gated MLP, RMS norms)."""

import torch
from torch import nn

from smdl.experiments.motifs.arms import GPT_NEOX
from smdl.sources.train import Architecture, Training
from smdl.sources.training import new_model


def initialised(
    kind: str, shape: Architecture, vocabulary: int, context: int, seed: int, training: Training
) -> nn.Module:
    """A randomly initialised model of that kind, its embeddings untied."""
    if kind == GPT_NEOX:
        return new_model(shape, vocabulary, context, seed, training)
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    # A gated MLP has three matrices where GPT-NeoX has two: this keeps the number of weights near.
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=8 * shape.hidden // 3,
        max_position_embeddings=context,
        tie_word_embeddings=False,
        use_cache=False,
        bos_token_id=0,
        eos_token_id=0,
    )
    return LlamaForCausalLM(config)
