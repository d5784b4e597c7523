"""The uniform symmetric grid that quantizers share."""

from __future__ import annotations

from smdl.foundation.lazy import Tensor, torch


def to_grid(tensor: Tensor, n_q: int, m: Tensor | float) -> Tensor:
    """Each element moved to the nearest of ``n_q`` equally spaced values in [-m, m], those beyond clipped to the ends.

    ``m`` is a number, or a tensor that broadcasts: a grid a row, a grid a group. The error of an element within
    [-m, m] is at most m / (n_q - 1). Where m is 0 the result is 0.
    """
    return codes(tensor, n_q, m).mul_(2 / (n_q - 1)).sub_(1).mul_(m).to(tensor.dtype)


def codes(tensor: Tensor, n_q: int, m: Tensor | float) -> Tensor:
    """The index of each element's grid value: whole numbers in 0..n_q - 1, in float32 or finer."""
    m = torch.as_tensor(m, dtype=_precision(tensor), device=tensor.device)
    # In place where it can be: the largest tensor of a model weighs an eighth of it.
    steps = (tensor.to(m.dtype) / m).add_(1).mul_((n_q - 1) / 2)
    return steps.clamp_(0, n_q - 1).round_().masked_fill_(m <= 0, 0.0)


def from_codes(code: Tensor, n_q: int, m: Tensor | float, dtype: torch.dtype) -> Tensor:
    """The grid values of codes."""
    return ((code * (2 / (n_q - 1)) - 1) * m).to(dtype)


def _precision(tensor: Tensor) -> torch.dtype:
    """Codes up to 65535 do not fit into half precision."""
    return torch.promote_types(tensor.dtype, torch.float32)
