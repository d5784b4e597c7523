"""The original weights on disk, so that a sweep need not hold the model twice."""

from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

# A safetensors file and the name of a tensor in it.
Place = tuple[Path, str]


class Stored:
    """Parameters of a model that its checkpoint's safetensors files hold exactly, read again when they are wanted.

    transformers renames some tensors when it loads (embed_out to lm_head), so names alone do not tell: a tensor of the
    same shape whose name no parameter has is tried too, and every value is compared once.
    """

    @torch.no_grad()
    def __init__(self, model: nn.Module, folder: Path):
        parameters = dict(model.named_parameters())
        shapes = _shapes(folder)
        renamed = sorted(place for place in shapes if place[1] not in parameters)
        here = {place[1]: place for place in shapes}
        self._offsets = {name: parameter.storage_offset() for name, parameter in parameters.items()}
        self._places: dict[str, Place] = {}
        for name, parameter in parameters.items():
            for place in [here[name]] if name in here else renamed:
                if shapes[place] == tuple(parameter.shape) and torch.equal(_read(place, parameter), parameter):
                    self._places[name] = place
                    break

    def __contains__(self, parameter: str) -> bool:
        return parameter in self._places

    def window(self, parameter: str, like: Tensor) -> Tensor:
        """A copy of the original of ``like``, which is a view of that parameter of the model; contiguous."""
        whole = _read(self._places[parameter], like)
        offset = like.storage_offset() - self._offsets[parameter]
        part = whole.as_strided(like.shape, like.stride(), offset)
        return part.clone(memory_format=torch.contiguous_format) if part.numel() < whole.numel() else part.contiguous()


def _shapes(folder: Path) -> dict[Place, tuple[int, ...]]:
    shapes = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - safe_open has no __iter__
                shapes[file, name] = tuple(tensors.get_slice(name).get_shape())
    return shapes


def _read(place: Place, like: Tensor) -> Tensor:
    """A stored tensor, copied to the type and device of ``like``; the file is mapped no longer than that takes."""
    with safe_open(place[0], framework="pt") as tensors:
        return tensors.get_tensor(place[1]).to(like.device, like.dtype, copy=True)
