"""An allocation in the forms that quantization programs read."""

import json
import re

import pandas as pd

from smdl.foundation.errors import StudyError

GPTQMODEL, LLAMA_CPP = "gptqmodel", "llama.cpp"
FORMATS = (GPTQMODEL, LLAMA_CPP)
# The names that llama.cpp gives the tensors of a layer, by the last parts of ours.
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "attention.query_key_value": "attn_qkv",
    "attention.dense": "attn_output",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.dense_h_to_4h": "ffn_up",
    "mlp.dense_4h_to_h": "ffn_down",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
ENDS = {"embed_tokens": "token_embd", "embed_in": "token_embd", "wte": "token_embd"}
OUTPUTS = ("lm_head", "embed_out")
# Its types by bits; there are none of 7.
TYPES = {2: "q2_k", 3: "q3_k", 4: "q4_k", 5: "q5_k", 6: "q6_k", 7: "q8_0", 8: "q8_0"}
SUPPORTED = (2, 3, 4, 8)


def chosen(
    allocations: pd.DataFrame, model: str, step: int | None, quantizer: str, score: str, budget: float
) -> pd.DataFrame:
    """The rows of one allocation of the table ``allocations``; the model's last step where none is asked for.

    StudyError, with what there is, where there is no such allocation.
    """
    own = allocations
    asked = {"model": model, "step": step, "quantizer": quantizer, "score": score, "budget": budget}
    for name, value in asked.items():
        if value is None:
            value = own[name].max()
        known = list(own[name].unique())
        own = own[own[name] == value]
        if own.empty:
            there = ", ".join(f"{one:g}" if isinstance(one, float) else str(one) for one in known)
            raise StudyError(f"there is no allocation of {name} {value}; there are {there}")
    return own


def exported(allocation: pd.DataFrame, form: str, group: int) -> str:
    """The rows (tensor, bits) of one allocation as text: JSON for GPTQModel, or lines for llama.cpp.

    ``gptqmodel`` is the value of ``dynamic`` of its QuantizeConfig: a pattern a module, with its bits and group size.
    It has the linear maps of the layers, at 2, 3, 4 or 8 bits, the next above where an allocation has others.
    ``llama.cpp`` is a file for --tensor-type-file, a line a tensor: its pattern, ``=`` and its type. Matrices that a
    program stores as one get the most bits of their parts. StudyError for tensors that llama.cpp has no name for.
    """
    modules = allocation.assign(module=allocation["tensor"].map(_module)).groupby("module", sort=False)["bits"].max()
    if form not in FORMATS:
        raise StudyError(f"{form!r} is not one of {', '.join(FORMATS)}")
    if form == GPTQMODEL:
        dynamic = {
            f"+:^{re.escape(module)}$": {"bits": _supported(bits), "group_size": group or -1}
            for module, bits in modules.items()
            if _layer(module)
        }
        return json.dumps(dynamic, indent=2) + "\n"
    return "".join(f"{_pattern(module)}={TYPES[min(max(bits, 2), 8)]}\n" for module, bits in modules.items())


def _module(tensor: str) -> str:
    return tensor.partition("[")[0].removesuffix(".weight")


def _layer(module: str) -> re.Match | None:
    return re.search(r"\.(\d+)\.(.+)$", module)


def _supported(bits: int) -> int:
    return next((known for known in SUPPORTED if known >= bits), SUPPORTED[-1])


def _pattern(module: str) -> str:
    layer, last = _layer(module), module.rpartition(".")[2]
    if layer and layer[2] in NAMES:
        return rf"^blk\.{layer[1]}\.{NAMES[layer[2]]}\.weight$"
    if last in ENDS:
        return rf"^{ENDS[last]}\.weight$"
    if last in OUTPUTS:
        return r"^output\.weight$"
    raise StudyError(f"{module}: llama.cpp's name of this tensor is not known here; export for {GPTQMODEL}")
