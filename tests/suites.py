"""Checkpoints with the layout of the public suites, tensor by tensor, in tiny sizes.

Names, types and shapes of what is stored, the keys of config.json, the form of the files and the names of the branches
are those of the suites; the numbers are those of a model taught for a moment on the King James Bible, so that
compression hurts it. Vocabularies are padded beyond the 256 bytes of the tokenizer.
"""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

import safetensors.torch
import torch
from torch import Tensor, nn

from small_models import blocks_of
from smdl.models.loading import as_tokens, sequence_losses
from smdl.sources.stored import label_of

LAYERS, HIDDEN, HEADS, VOCABULARY, POSITIONS = 2, 32, 4, 272, 64

Tensors = dict[str, Tensor]

# EleutherAI/pythia-70m; use_cache and the like as they stand there.
PYTHIA = {
    "architectures": ["GPTNeoXForCausalLM"],
    "bos_token_id": 0,
    "eos_token_id": 0,
    "hidden_act": "gelu",
    "hidden_size": HIDDEN,
    "initializer_range": 0.02,
    "intermediate_size": 4 * HIDDEN,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": POSITIONS,
    "model_type": "gpt_neox",
    "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS,
    "rotary_emb_base": 10000,
    "rotary_pct": 0.25,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "transformers_version": "4.24.0",
    "use_cache": True,
    "use_parallel_residual": True,
    "vocab_size": VOCABULARY,
}
# Written by a later converter, which stores no buffers.
POLYPYTHIAS = {
    **PYTHIA,
    "attention_bias": True,
    "attention_dropout": 0.0,
    "classifier_dropout": 0.1,
    "hidden_dropout": 0.0,
    "partial_rotary_factor": 0.25,
    "rope_scaling": None,
    "rope_theta": 10000,
    "transformers_version": "4.45.2",
}
OLMO2 = {
    "architectures": ["Olmo2ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "eos_token_id": 0,
    "hidden_act": "silu",
    "hidden_size": HIDDEN,
    "initializer_range": 0.02,
    "intermediate_size": 48,
    "max_position_embeddings": POSITIONS,
    "model_type": "olmo2",
    "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS,
    "num_key_value_heads": HEADS,
    "pad_token_id": 1,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 500000,
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
    "transformers_version": "4.47.0",
    "use_cache": False,
    "vocab_size": VOCABULARY,
}
# HuggingFaceTB/SmolLM2-135M.
SMOLLM = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "head_dim": HIDDEN // HEADS,
    "hidden_act": "silu",
    "hidden_size": HIDDEN,
    "initializer_range": 0.041666666666666664,
    "intermediate_size": 48,
    "is_llama_config": True,
    "max_position_embeddings": POSITIONS,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS,
    "num_key_value_heads": 2,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_interleaved": False,
    "rope_scaling": None,
    "rope_theta": 100000,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.48.0",
    "use_cache": True,
    "vocab_size": VOCABULARY,
}
LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": HIDDEN,
    "initializer_range": 0.02,
    "intermediate_size": 48,
    "max_position_embeddings": POSITIONS,
    "model_type": "llama",
    "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS,
    "pad_token_id": 0,
    "rms_norm_eps": 1e-06,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "transformers_version": "4.28.0.dev0",
    "use_cache": True,
    "vocab_size": VOCABULARY,
}
GPT2 = {
    "activation_function": "gelu_new",
    "architectures": ["GPT2LMHeadModel"],
    "attn_pdrop": 0.1,
    "bos_token_id": 0,
    "embd_pdrop": 0.1,
    "eos_token_id": 0,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2",
    "n_ctx": POSITIONS,
    "n_embd": HIDDEN,
    "n_head": HEADS,
    "n_layer": LAYERS,
    "n_positions": POSITIONS,
    "resid_pdrop": 0.1,
    "summary_activation": None,
    "summary_first_dropout": 0.1,
    "summary_proj_to_labels": True,
    "summary_type": "cls_index",
    "summary_use_proj": True,
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
    "vocab_size": VOCABULARY,
}
DISTILGPT2 = {
    **GPT2,
    "_num_labels": 1,
    "id2label": {"0": "LABEL_0"},
    "label2id": {"LABEL_0": 0},
}


@dataclass(frozen=True)
class Suite:
    """A public suite: how it stores a model, in which files, and on which branch a step lies.

    ``stored`` turns parameters by the model's own names into all that is stored; ``branch`` is a pattern of the config.
    """

    config: dict
    dtype: torch.dtype
    stored: Callable[[Tensors], Tensors]
    form: str
    branch: str = "step{step}"
    steps: tuple[int, ...] = (1000,)
    labels: Mapping[str, int] = field(default_factory=dict)

    def branch_of(self, step: int) -> str:
        """The name of the branch of a step, with what a hub has where the config has a ``*``."""
        return label_of(self.labels, step) or self.branch.format(step=step).replace("*", "tokens3B")


def renamed(tensors: Tensors, old: str, new: str) -> Tensors:
    """The tensors, those whose names begin with ``old`` under names that begin with ``new``."""
    return {new + name.removeprefix(old) if name.startswith(old) else name: t for name, t in tensors.items()}


def mask(dtype: torch.dtype) -> Tensor:
    return torch.ones(POSITIONS, POSITIONS).tril().to(dtype).view(1, 1, POSITIONS, POSITIONS)


def frequencies(size: int, dtype: torch.dtype) -> Tensor:
    return (1 / 10000 ** (torch.arange(0, size, 2) / size)).to(dtype)


def neox(mask_type: torch.dtype, masked: Tensor, frequency_type: torch.dtype) -> Callable[[Tensors], Tensors]:
    """GPT-NeoX as its converter stored it: the head as embed_out, and three buffers a layer."""

    def stored(tensors: Tensors) -> Tensors:
        result = renamed(tensors, "lm_head.", "embed_out.")
        for layer in range(LAYERS):
            place = f"gpt_neox.layers.{layer}.attention"
            result[f"{place}.bias"] = mask(mask_type)
            result[f"{place}.masked_bias"] = masked.clone()
            result[f"{place}.rotary_emb.inv_freq"] = frequencies(HIDDEN // HEADS // 4, frequency_type)
        return result

    return stored


def with_frequencies(tensors: Tensors) -> Tensors:
    """The first Llamas: rotary frequencies in every layer."""
    places = [f"model.layers.{layer}.self_attn.rotary_emb.inv_freq" for layer in range(LAYERS)]
    return {**tensors, **{place: frequencies(HIDDEN // HEADS, torch.float32) for place in places}}


def gpt2(tensors: Tensors) -> Tensors:
    """openai-community/gpt2: the base model's names, a mask a layer, no head."""
    result = {name.removeprefix("transformer."): t for name, t in tensors.items()}
    return {**result, **{f"h.{layer}.attn.bias": mask(torch.float32) for layer in range(LAYERS)}}


def distilgpt2(tensors: Tensors) -> Tensors:
    """distilbert/distilgpt2: the tied head stored once more, sharing its storage in the pickle; two buffers a layer."""
    result = {**tensors, "lm_head.weight": tensors["transformer.wte.weight"]}
    for layer in range(LAYERS):
        result[f"transformer.h.{layer}.attn.bias"] = mask(torch.uint8)
        result[f"transformer.h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    return result


HALF_MASKED = torch.tensor(-1e9).half()  # minus infinity, as a cast to fp16 left it
SUITES = {
    "pythia": Suite(
        PYTHIA, torch.float16, neox(torch.uint8, HALF_MASKED, torch.float16), "safetensors", steps=(1000, 2000)
    ),
    "pythia-bin": Suite(PYTHIA, torch.float16, neox(torch.bool, torch.tensor(-1e9), torch.float32), "bin"),
    "pythia-shards": Suite(PYTHIA, torch.float16, neox(torch.uint8, HALF_MASKED, torch.float32), "bin shards"),
    "polypythias": Suite(
        POLYPYTHIAS, torch.float16, lambda tensors: renamed(tensors, "lm_head.", "embed_out."), "safetensors"
    ),
    "olmo2": Suite(OLMO2, torch.float32, dict, "safetensors shards", "stage1-step{step}-*"),
    "smollm": Suite(SMOLLM, torch.bfloat16, dict, "safetensors", "step-{step}"),
    "llama": Suite(LLAMA, torch.float16, with_frequencies, "bin shards"),
    "gpt2": Suite(GPT2, torch.float32, gpt2, "safetensors", labels={"main": 1000}),
    "distilgpt2": Suite(DISTILGPT2, torch.float32, distilgpt2, "bin"),
}


@cache
def taught(name: str, step: int) -> nn.Module:
    """The model of a suite's step, in float32, its numbers those of the suite's type; later steps are taught longer."""
    from transformers import AutoConfig, AutoModelForCausalLM

    suite = SUITES[name]
    torch.manual_seed(sorted(SUITES).index(name))
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**suite.config), dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2)
    blocks = blocks_of("training")
    for number in range(step // 50):
        batch = blocks[8 * number % len(blocks) :][:8]
        sequence_losses(model, as_tokens(batch, model)).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.to(suite.dtype))
    return model.eval()


def parameters_of(name: str, step: int) -> Tensors:
    """The parameters by the model's own names, tied ones once, in the suite's type."""
    return {key: p.detach().to(SUITES[name].dtype) for key, p in taught(name, step).named_parameters()}


def tensors_of(name: str, step: int) -> Tensors:
    """All tensors that the suite stores, by the names they have on disk."""
    return SUITES[name].stored(parameters_of(name, step))


@cache
def files_of(name: str, step: int) -> dict[str, bytes]:
    """The files of a step's branch, by path."""
    tensors, form = tensors_of(name, step), SUITES[name].form
    return {"config.json": json.dumps(SUITES[name].config, indent=2).encode(), **weights(tensors, form)}


def weights(tensors: Tensors, form: str) -> dict[str, bytes]:
    """``tensors`` as files: "safetensors" or "bin", whole or in three ``shards`` with their index."""
    kind, _, shards = form.partition(" ")
    stem, ending, dump = {
        "safetensors": ("model", "safetensors", lambda part: safetensors.torch.save(part, {"format": "pt"})),
        "bin": ("pytorch_model", "bin", pickled),
    }[kind]
    if not shards:
        return {f"{stem}.{ending}": dump(tensors)}
    parts = [dict(list(tensors.items())[part::3]) for part in range(3)]
    files = {f"{stem}-{part + 1:05}-of-00003.{ending}": dump(own) for part, own in enumerate(parts)}
    places = {name: file for file, part in zip(files, parts, strict=True) for name in part}
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": places}
    return {**files, f"{stem}.{ending}.index.json": json.dumps(index).encode()}


def pickled(tensors: Tensors) -> bytes:
    """What torch.save writes."""
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    return buffer.getvalue()
