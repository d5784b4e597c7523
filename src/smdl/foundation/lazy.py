"""Torch, imported when it is first used.

Planning a study reads what schemes declare (their settings, levels, needs and costs) and computes nothing: a Snakemake
that starts twice for every job must not wait seconds for torch. Modules that declare take it from here.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
else:

    class _Library:
        def __init__(self, name: str):
            self._name = name

        def __getattr__(self, attribute: str) -> Any:
            return getattr(import_module(self._name), attribute)

    torch, nn, functional = _Library("torch"), _Library("torch.nn"), _Library("torch.nn.functional")
    # For annotations, which are never evaluated.
    Tensor = Any

__all__ = ["Tensor", "functional", "nn", "torch"]
