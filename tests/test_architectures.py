"""The list of supported models is true of the installed transformers: each is built, small, and taken apart."""

import pytest
import torch

from smdl.compression.weights import Weights
from smdl.foundation.errors import StudyError
from smdl.models.architectures import SUPPORTED, WITH_HEADS
from smdl.models.heads import attention_layers
from smdl.models.views import iterate

SIZES = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "word_embed_proj_dim"), 16),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "num_kv_heads", "head_dim"), 4),
    **dict.fromkeys(("intermediate_size", "n_inner", "ffn_dim"), 32),
    **{"vocab_size": 64, "num_key_value_heads": 2, "rotary_dim": 4, "max_position_embeddings": 32},
    **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 0),
}


class OnlyViews(Weights):
    """The weights of a model without memory."""

    def __init__(self, model: torch.nn.Module):
        self.model = model
        self.views = list(iterate(model))


def built(kind: str) -> torch.nn.Module:
    """A small causal language model of a type, without memory for its weights."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(kind)
    for name, value in SIZES.items():
        settable = not isinstance(getattr(type(config), name, None), property)
        if settable and hasattr(config, name):
            setattr(config, name, value)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize("kind", SUPPORTED)
def test_what_is_supported_can_be_taken_apart(kind):
    weights = OnlyViews(built(kind))
    assert sum(view.elements for view in weights.views) == weights.model.num_parameters()
    if kind in WITH_HEADS:
        assert len(attention_layers(weights.model, weights.views)) == 2
    else:
        with pytest.raises(StudyError, match="leave prune_heads out of the model's key schemes"):
            attention_layers(weights.model, weights.views)


@pytest.mark.parametrize("kind", ["mixtral", "mamba", "olmoe"])
def test_what_is_not_cannot(kind):
    with pytest.raises(StudyError, match="compression handles models of linear maps, embeddings and vectors only"):
        OnlyViews(built(kind))
