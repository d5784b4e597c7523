"""The LLC restricted to a part of the weights, all others frozen at w* (arXiv:2410.02984, section 2.3).

A restriction is named as users of the method's library name it: ``full``, ``embed``, ``unembed``, ``l0``, ``l0 attn``,
``l0 mlp``, ``l0h1``, or the name of a tensor; several are joined by ``+``. The sampler sees the selected weights alone,
so that control, preconditioner and noise are theirs, and what is frozen costs no gradient.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from smdl.foundation.errors import StudyError
from smdl.llc.settings import PART
from smdl.models.heads import attention_layers
from smdl.models.loading import BlockLoss
from smdl.models.views import ATTENTION_OUTPUT, EMBEDDING, KEY, QUERY, VALUE, WeightView, iterate, part_of

ATTENTION = re.compile(r"\.\w*att(?:n|ention)\b")


def restrict(loss: BlockLoss, restriction: str) -> None:
    """Freeze all weights of ``loss`` but those of the restriction: ``loss.parameters`` are then those that move.

    Of a tensor that is selected in part, the part moves, as a vector. Raises StudyError where the model does not have
    what the restriction names.
    """
    _freeze(loss, selection(loss.model, restriction))


@contextmanager
def restricted_to(loss: BlockLoss, view: WeightView) -> Iterator[None]:
    """Within, one matrix of ``loss`` moves and all other weights are frozen; behind, all are where they were before."""
    model, usual = loss.model, loss.parameters
    order = {module: list(dict(module.named_parameters(recurse=False))) for module in model.modules()}
    values = {name: parameter.data for name, parameter in model.named_parameters()}
    _freeze(loss, {view.parameter: _places(model, view).flatten().sort().values})
    try:
        yield
    finally:
        for module, names in order.items():
            if parametrize.is_parametrized(module):
                for name in list(module.parametrizations):
                    parametrize.remove_parametrizations(module, name, leave_parametrized=False)
                for name in names:
                    parameter = getattr(module, name)
                    delattr(module, name)
                    module.register_parameter(name, parameter)
        for name, parameter in model.named_parameters():
            parameter.data = values[name]
            parameter.grad = None
            parameter.requires_grad_(True)
        loss.parameters = usual


def _freeze(loss: BlockLoss, selected: dict[str, Tensor]) -> None:
    for name, parameter in list(loss.model.named_parameters()):
        parameter.requires_grad_(name in selected)
        if name in selected and len(selected[name]) < parameter.numel():
            owner, _, kind = name.rpartition(".")
            part = _Part(parameter.detach().clone(), selected[name])
            parametrize.register_parametrization(loss.model.get_submodule(owner), kind, part)
    loss.parameters = [parameter for parameter in loss.model.parameters() if parameter.requires_grad]


def selection(model: nn.Module, restriction: str) -> dict[str, Tensor]:
    """The elements that a restriction selects of each of a model's parameters: places in the flat tensor, in order."""
    views = list(iterate(model))
    found: dict[str, list[Tensor]] = {}
    for part in restriction.split("+"):
        selected = list(_selected(model, views, part))
        if not selected:
            raise StudyError(
                f"llc.restrictions: {part!r} selects nothing of {model.name_or_path or type(model).__name__}:"
                f" {_there(views, part)}"
            )
        for view, places in selected:
            found.setdefault(view.parameter, []).append(places)
    return {name: torch.cat(places).unique() for name, places in found.items()}


class _Part(nn.Module):
    """A tensor of which some elements move, and the others stay."""

    def __init__(self, frozen: Tensor, places: Tensor):
        super().__init__()
        self.register_buffer("frozen", frozen, persistent=False)
        self.register_buffer("places", places.to(frozen.device), persistent=False)

    def forward(self, part: Tensor) -> Tensor:
        return self.frozen.flatten().scatter(0, self.places, part).view_as(self.frozen)

    def right_inverse(self, whole: Tensor) -> Tensor:
        return whole.detach().flatten()[self.places]


def _selected(model: nn.Module, views: list[WeightView], part: str) -> Iterator[tuple[WeightView, Tensor]]:
    """The views that one name selects something of, with the places of what it selects."""
    if match := re.fullmatch(r"l(\d+)h(\d+)", part):
        yield from _head(model, views, *map(int, match.groups()))
        return
    linear = {view.module for view in views if view.is_linear}
    output = model.get_output_embeddings().weight
    layer = re.fullmatch(r"l(\d+)(?: (attn|mlp))?", part)
    for view in views:
        attention = bool(ATTENTION.search(f".{view.module}"))
        if layer:
            kind = {None: True, "attn": attention, "mlp": view.module in linear and not attention}[layer[2]]
            chosen = view.layer == int(layer[1]) and kind
        elif part == "unembed":
            chosen = model.get_parameter(view.parameter) is output
        else:
            chosen = part in ("full", view.parameter) or (part == "embed" and view.role == EMBEDDING)
        if chosen:
            yield view, _places(model, view).flatten()


def _head(model: nn.Module, views: list[WeightView], number: int, head: int) -> Iterator[tuple[WeightView, Tensor]]:
    """The rows of query, key and value and the columns of the output matrix that serve a head."""
    layers = attention_layers(model, views)
    if number >= len(layers) or head >= layers[number].heads:
        return
    layer = layers[number]
    for role in (QUERY, KEY, VALUE):
        for view in filter(None, (layer.matrices[role], layer.biases.get(role))):
            yield view, _places(model, view)[layer.rows(role, head)].flatten()
    output = layer.matrices[ATTENTION_OUTPUT]
    yield output, _places(model, output)[:, layer.columns(head)].flatten()


def _places(model: nn.Module, view: WeightView) -> Tensor:
    """Where in its flat parameter each element of a view is, in the view's shape."""
    return part_of(model, view, torch.arange(model.get_parameter(view.parameter).numel()))


def _there(views: list[WeightView], part: str) -> str:
    """What the model has instead."""
    if not PART.fullmatch(part):
        return f"it has no such tensor, and {views[0].parameter}, for one"
    layers = {view.layer for view in views if view.layer is not None}
    return f"its layers are l0 to l{max(layers)}" if layers else "it has no layers"
