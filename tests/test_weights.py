"""Views of the weights: every weight once, in the right place, whatever the architecture."""

import pytest
import torch

import small_models
from smdl.compression.weights import Weights
from smdl.foundation.errors import StudyError
from smdl.models.loading import as_tokens
from smdl.models.views import BIAS, EMBEDDING, KEY, QUERY, UNEMBEDDING, VALUE, iterate

MODELS = {
    "neox": small_models.neox,
    "llama": lambda: small_models.llama(tied=False),
    "llama, tied": lambda: small_models.llama(tied=True),
    "olmo2": small_models.olmo2,
    "gpt2": small_models.gpt2,
}


@pytest.mark.parametrize("name", MODELS)
def test_every_weight_is_in_exactly_one_view(name):
    model = MODELS[name]()
    views = list(iterate(model))
    for view in views:
        view.put(torch.zeros(view.shape))
    with torch.no_grad():
        for view in views:
            view.window.add_(1)
    assert all((parameter == 1).all() for parameter in model.parameters())
    assert sum(view.elements for view in views) == sum(parameter.numel() for parameter in model.parameters())
    assert len({view.name for view in views}) == len(views)


@pytest.mark.parametrize("name", MODELS)
def test_originals_are_put_back_bit_for_bit(name):
    model = MODELS[name]()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    weights = Weights(model)
    for view in weights.views:
        view.put(torch.randn(view.shape))
    weights.restore()
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


@pytest.mark.parametrize("name", ["neox", "gpt2"])
def test_the_parts_of_a_fused_matrix_make_what_attention_takes_for_query_key_and_value(name):
    """Only the part under test is left; the other two must come out zero where the model splits its projection."""
    model = MODELS[name]()
    heads = 4
    x = torch.randn(5, 16)
    views = {view.name: view for view in iterate(model) if view.layer == 1}
    for part, role in enumerate((QUERY, KEY, VALUE)):
        weights = Weights(model)
        for other in (QUERY, KEY, VALUE):
            own = next(view for view in views.values() if view.role == other)
            bias = views[own.name.replace("weight", "bias")]
            assert bias.role == BIAS
            bias.put(torch.zeros(bias.shape))
            if other == role:
                matrix = own.current()
            else:
                own.put(torch.zeros(own.shape))
        if name == "neox":
            fused = model.gpt_neox.layers[1].attention.query_key_value(x)
            parts = [third.flatten(1) for third in fused.view(5, heads, -1).chunk(3, dim=-1)]
        else:
            parts = model.transformer.h[1].attn.c_attn(x).split(16, dim=1)
        weights.restore()
        torch.testing.assert_close(parts[part], x @ matrix.T)
        assert all((other == 0).all() for index, other in enumerate(parts) if index != part)


def test_roles_and_layers():
    roles = {view.name: (view.role, view.layer) for view in iterate(small_models.neox())}
    assert roles["gpt_neox.embed_in.weight"] == (EMBEDDING, None)
    assert roles["lm_head.weight"] == (UNEMBEDDING, None)
    assert roles["gpt_neox.layers.2.mlp.dense_h_to_4h.weight"] == ("mlp_up", 2)
    assert roles["gpt_neox.layers.2.mlp.dense_4h_to_h.weight"] == ("mlp_down", 2)
    assert roles["gpt_neox.layers.0.attention.dense.weight"] == ("attention_output", 0)
    assert roles["gpt_neox.layers.0.input_layernorm.weight"] == ("norm", 0)
    assert roles["gpt_neox.layers.0.attention.dense.bias"] == (BIAS, 0)
    tied = {view.name: view.role for view in iterate(small_models.llama(tied=True))}
    assert tied["model.embed_tokens.weight"] == EMBEDDING
    assert "lm_head.weight" not in tied
    assert tied["model.layers.1.mlp.gate_proj.weight"] == "mlp_gate"


def test_a_model_with_other_tensors_is_refused_in_one_line():
    from transformers import MixtralConfig, MixtralForCausalLM

    config = MixtralConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        num_local_experts=2,
    )
    with pytest.raises(StudyError, match=r"MixtralForCausalLM: parameter .* belongs to a") as refusal:
        list(iterate(MixtralForCausalLM(config)))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", MODELS)
def test_input_moments_are_those_of_the_layers_inputs(name):
    model = MODELS[name]()
    weights = small_models.weights_of(model)
    view = weights.select("linear")[-1]
    seen = []
    module = dict(model.named_modules())[view.module]
    handle = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].flatten(0, 1)))
    with torch.no_grad():
        model(input_ids=as_tokens(small_models.blocks_of("calibration"), model))
    handle.remove()
    torch.testing.assert_close(weights.inputs(view), seen[0].T @ seen[0] / len(seen[0]), rtol=1e-4, atol=1e-5)
    embedding = next(view for view in weights.views if view.role == EMBEDDING)
    assert weights.inputs(embedding) is None


def test_without_calibration_blocks_a_scheme_that_needs_them_says_so():
    weights = Weights(small_models.neox())
    with pytest.raises(StudyError, match="calibration"):
        weights.inputs(weights.select("linear")[0])
