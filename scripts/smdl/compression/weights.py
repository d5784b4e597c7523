"""The weights of a model as compression schemes see them: named views with a role and a layer."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class WeightView:
    """One parameter tensor: its name in the model, its role, and its layer (None outside the layers)."""

    name: str
    role: str
    layer: int | None
    parameter: nn.Parameter

    @property
    def is_matrix(self) -> bool:
        """Whether it is a matrix: an embedding or the weight of a linear map, not a bias or a norm."""
        return self.parameter.dim() == 2


class Weights:
    """The original weights of a model, kept while the model itself carries compressed ones."""

    def __init__(self, model: nn.Module):
        self.views = list(_views(model))
        self._originals = {view.name: view.parameter.detach().clone() for view in self.views}

    def __getitem__(self, view: WeightView) -> Tensor:
        """The original tensor of a view; not to be changed in place."""
        return self._originals[view.name]

    @property
    def elements(self) -> int:
        """How many weights the model has."""
        return sum(tensor.numel() for tensor in self._originals.values())

    @torch.no_grad()
    def restore(self) -> None:
        """Put the originals back into the model."""
        for view in self.views:
            view.parameter.copy_(self._originals[view.name])


def _views(model: nn.Module) -> Iterator[WeightView]:
    """Every parameter once (tied ones under their first name), in the order of the model."""
    for name, parameter in model.named_parameters():
        number = re.search(r"\.(\d+)\.", name)
        layer = int(number[1]) if number else None
        yield WeightView(name, _role(name, parameter, layer), layer, parameter)


def _role(name: str, parameter: nn.Parameter, layer: int | None) -> str:
    if parameter.dim() != 2:
        return "bias" if name.endswith("bias") else "norm"
    return "embedding" if layer is None else "linear"
