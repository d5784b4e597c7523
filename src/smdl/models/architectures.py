"""Which models compression can take apart, told from a checkpoint's config.json before anything is run or downloaded.

Compression knows linear maps, embeddings and vectors: dense decoders. Mixtures of experts, state-space models, encoders
and encoder-decoders hold other tensors, or predict no next token. No torch here: Snakemake itself asks.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from smdl.foundation.errors import StudyError

# By transformers' model_type. The first have separate query, key, value and output matrices, or fused ones that
# smdl.models.views takes apart; of the others prune_heads cannot tell the heads.
WITH_HEADS = (
    *("apertus", "arcee", "biogpt", "cohere", "cohere2", "exaone4", "gemma", "gemma2", "gemma3_text", "glm", "glm4"),
    *("gpt2", "gpt_neo", "gpt_neox", "gptj", "granite", "helium", "llama", "ministral3", "mistral", "nemotron"),
    *("olmo", "olmo2", "olmo3", "opt", "qwen2", "qwen3", "seed_oss", "smollm3", "stablelm", "starcoder2", "xglm"),
)
WITHOUT_HEADS = ("bloom", "codegen", "falcon", "gpt_bigcode", "mpt", "persimmon", "phi", "phi3")
SUPPORTED = sorted((*WITH_HEADS, *WITHOUT_HEADS))
CHOOSY = ("prune_heads",)
"""The schemes that cannot handle every supported model."""

EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
NEXT_TOKEN = ("ForCausalLM", "LMHeadModel")


def read_config(folder: str | Path) -> dict[str, Any]:
    """The content of a checkpoint folder's config.json; StudyError where it is not there or is no JSON object."""
    path = Path(folder) / "config.json"
    try:
        return parsed(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise StudyError(f"{folder} has no config.json, so it is no checkpoint in Hugging Face format") from None
    except OSError as error:
        raise StudyError(f"{path} cannot be read ({error.strerror})") from None


def parsed(content: bytes, name: str) -> dict[str, Any]:
    """What a config.json holds; StudyError, with its ``name``, where it is no JSON object."""
    try:
        config = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise StudyError(f"{name} is not JSON ({error})") from None
    if not isinstance(config, dict):
        raise StudyError(f"{name} is not a JSON object")
    return config


def objections(config: dict[str, Any], schemes: Iterable[str]) -> Iterator[str]:
    """What speaks against measuring a model with this config.json by ``schemes``, a line each."""
    kind = config.get("model_type")
    if kind not in SUPPORTED:
        yield f"model_type {kind!r}{_nature(config)} is none that compression can handle: {', '.join(SUPPORTED)}"
        return
    heads = config.get("architectures") or []
    if heads and not any(str(name).endswith(NEXT_TOKEN) for name in heads):
        yield f"architecture {heads[0]!r} predicts no next token; one that ends with {' or '.join(NEXT_TOKEN)} does"
    if any(config.get(name) for name in EXPERTS):
        yield f"{kind!r} with experts: compression handles dense models only"
    if "prune_heads" in schemes and kind in WITHOUT_HEADS:
        yield f"prune_heads cannot tell the heads of model_type {kind!r}; leave it out of the model's key schemes"


def _nature(config: dict[str, Any]) -> str:
    """In brackets what kind of model a config.json describes, where it says so."""
    if config.get("is_encoder_decoder"):
        return " (an encoder-decoder)"
    if any(config.get(name) for name in EXPERTS):
        return " (a mixture of experts)"
    if any(str(name).endswith("ForMaskedLM") for name in config.get("architectures") or []):
        return " (an encoder)"
    return ""
