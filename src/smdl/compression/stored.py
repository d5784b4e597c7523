"""The original weights on disk, so that a sweep need not hold the model twice."""

from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from smdl.models.parameters import StoredTensor, contents


class Stored:
    """Parameters of a model that its checkpoint's safetensors files hold exactly, read again when they are wanted.

    Every value is compared once, so that a parameter which was changed, or which the files hold more exactly than the
    model, is kept by the caller.
    """

    @torch.no_grad()
    def __init__(self, model: nn.Module, folder: Path):
        own = [tensor for tensor in contents(folder) if tensor.file.suffix == ".safetensors"]
        places = {tensor.parameter: tensor for tensor in own if tensor.kind == "parameter"}
        parameters = dict(model.named_parameters())
        self._offsets = {name: parameter.storage_offset() for name, parameter in parameters.items()}
        self._places = {
            name: places[name]
            for name, parameter in parameters.items()
            if name in places and torch.equal(_read(places[name], parameter), parameter)
        }

    def __contains__(self, parameter: str) -> bool:
        return parameter in self._places

    def window(self, parameter: str, like: Tensor) -> Tensor:
        """A copy of the original of ``like``, which is a view of that parameter of the model; contiguous."""
        whole = _read(self._places[parameter], like)
        offset = like.storage_offset() - self._offsets[parameter]
        part = whole.as_strided(like.shape, like.stride(), offset)
        return part.clone(memory_format=torch.contiguous_format) if part.numel() < whole.numel() else part.contiguous()


def _read(place: StoredTensor, like: Tensor) -> Tensor:
    """A stored tensor, copied to the type and device of ``like``; the file is mapped no longer than that takes."""
    with safe_open(place.file, framework="pt") as tensors:
        return tensors.get_tensor(place.name).to(like.device, like.dtype, copy=True)
