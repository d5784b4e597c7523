"""The weights of a model as named views with a role and a layer.

A view is a matrix (output x input) or a vector, whatever the model's own layout: GPT-NeoX's fused query_key_value is
seen as three matrices whose rows go head by head, GPT-2's transposed Conv1D as output x input, tied embeddings once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from smdl.foundation.errors import StudyError
from smdl.foundation.lazy import Tensor, nn, torch

EMBEDDING = "embedding"
UNEMBEDDING = "unembedding"
QUERY, KEY, VALUE, ATTENTION_OUTPUT = "query", "key", "value", "attention_output"
MLP_GATE, MLP_UP, MLP_DOWN = "mlp_gate", "mlp_up", "mlp_down"
LINEAR = "linear"
NORM, BIAS = "norm", "bias"

# The last part of a linear map's name, over the architectures of transformers; others are plain ``linear``.
ROLES = {
    QUERY: ("q_proj", "query", "q_lin"),
    KEY: ("k_proj", "key", "k_lin"),
    VALUE: ("v_proj", "value", "v_lin"),
    ATTENTION_OUTPUT: ("o_proj", "out_proj", "attention.dense", "self_attention.dense", "attn.c_proj"),
    MLP_GATE: ("gate_proj",),
    MLP_UP: ("up_proj", "dense_h_to_4h", "fc_in", "fc1", "c_fc"),
    MLP_DOWN: ("down_proj", "dense_4h_to_h", "fc_out", "fc2", "mlp.c_proj"),
}
FUSED = {"gpt_neox": "query_key_value", "gpt2": "c_attn"}


@dataclass(frozen=True, eq=False)
class WeightView:
    """A matrix or vector of weights: its name, role and layer (None outside the layers), and the module it serves.

    ``window`` is the part of the model's own parameter that it shows, sharing its memory; ``shape`` the view's shape.
    """

    name: str
    role: str
    layer: int | None
    module: str
    window: Tensor
    shape: tuple[int, ...]

    @property
    def parameter(self) -> str:
        """The name of the model's own parameter."""
        return self.name.partition("[")[0]

    @property
    def is_matrix(self) -> bool:
        """Whether it is a matrix: an embedding or the weight of a linear map, not a bias or a norm."""
        return len(self.shape) == 2

    @property
    def is_linear(self) -> bool:
        """Whether it is the matrix of a linear map inside a layer."""
        return self.is_matrix and self.role not in (EMBEDDING, UNEMBEDDING)

    @property
    def elements(self) -> int:
        """How many weights it has."""
        return self.window.numel()

    def put(self, tensor: Tensor) -> None:
        """Write ``tensor``, of the view's shape, into the model."""
        with torch.no_grad():
            self.window.copy_(tensor.reshape(self.window.shape))

    def current(self) -> Tensor:
        """A copy of what the model has now, in the view's shape."""
        return self.window.clone(memory_format=torch.contiguous_format).reshape(self.shape)


def iterate(model: nn.Module) -> Iterator[WeightView]:
    """Every weight of ``model`` in exactly one view, in the order of the model; tied parameters under their first name.

    Raises StudyError where a parameter is neither a vector, nor the matrix of a linear map or of an embedding.
    """
    modules = dict(model.named_modules())
    output = model.get_output_embeddings()
    for name, parameter in model.named_parameters():
        owner, _, kind = name.rpartition(".")
        module = modules[owner]
        window = parameter.detach()
        transposed = type(module).__name__ == "Conv1D"
        if window.dim() > 2 or (window.dim() == 2 and not (transposed or isinstance(module, nn.Linear | nn.Embedding))):
            raise StudyError(
                f"{type(model).__name__}: parameter {name} of shape {tuple(window.shape)} belongs to a"
                f" {type(module).__name__}; compression handles models of linear maps, embeddings and vectors only"
            )
        if transposed and window.dim() == 2:
            window = window.t()
        number = re.search(r"\.(\d+)\.", name)
        layer = int(number[1]) if number else None
        if owner.endswith(FUSED.get(model.config.model_type, "\0")):
            yield from _thirds(name, kind, layer, owner, window, model.config)
        else:
            role = _role(owner, kind, module, window, module is output)
            yield WeightView(name, role, layer, owner, window, tuple(window.shape))


def part_of(model: nn.Module, view: WeightView, tensor: Tensor) -> Tensor:
    """What the view shows of a contiguous ``tensor`` with as many elements as its parameter, in the view's shape."""
    window, parameter = view.window, model.get_parameter(view.parameter)
    offset = tensor.storage_offset() + window.storage_offset() - parameter.storage_offset()
    return tensor.as_strided(window.size(), window.stride(), offset).reshape(view.shape)


def _thirds(name: str, kind: str, layer: int | None, module: str, window: Tensor, config: Any) -> Iterator[WeightView]:
    """Query, key and value of a fused weight or bias: interleaved head by head (GPT-NeoX), or one after another."""
    heads = config.num_attention_heads
    if config.model_type == "gpt_neox":
        parts = window.view(heads, 3, -1, *window.shape[1:]).unbind(1)
    else:
        parts = window.chunk(3)
    shape = (window.shape[0] // 3, *window.shape[1:])
    for role, part in zip((QUERY, KEY, VALUE), parts, strict=True):
        yield WeightView(f"{name}[{role}]", role if kind == "weight" else BIAS, layer, module, part, shape)


def _role(owner: str, kind: str, module: nn.Module, window: Tensor, is_output: bool) -> str:
    if window.dim() != 2:
        return BIAS if kind == "bias" else NORM
    if isinstance(module, nn.Embedding):
        return EMBEDDING
    if is_output:
        return UNEMBEDDING
    for role, endings in ROLES.items():
        if any(owner == ending or owner.endswith(f".{ending}") for ending in endings):
            return role
    return LINEAR
