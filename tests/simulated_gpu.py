"""A GPU in name: tensors in main memory that torch takes for those of a GPU, for machines that have none.

Within ``SimulatedGpu()`` a tensor that is made on ``cuda``, or moved or computed there, says that it is on that device,
holds its numbers, and may not meet tensors of the CPU where a real GPU would refuse it. Backward passes, optimizers,
and control flow that depends on numbers run as they are (torch's FakeTensorMode has no numbers, and no backward pass
for a device that its build does not know). ``waits`` lists what would have made the CPU wait for the GPU.
"""

import traceback
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import _engine_run_backward
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_iter, tree_map_only

GPU = torch.device("cuda", 0)

WAITS = {
    *(getattr(Tensor, name) for name in ("item", "tolist", "__bool__", "__float__", "__int__", "__index__", "nonzero")),
    *(getattr(Tensor, name) for name in ("cpu", "unique", "masked_select")),
    *(torch.nonzero, torch.unique, torch.masked_select, torch.equal, Tensor.equal),
}
ACROSS = {Tensor.copy_, Tensor.__setitem__, Tensor.data.__set__, torch._has_compatible_shallow_copy_type}
ADDRESSED = {Tensor.numpy, Tensor.__array__, Tensor.data_ptr}


class SimulatedGpu(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self._storages: dict[int, StorageWeakRef] = {}
        self.waits: list[str] = []

    def holds(self, tensor: Tensor) -> bool:
        """Whether a tensor is on the GPU."""
        return tensor.untyped_storage()._cdata in self._storages

    def _take(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        # The weak reference keeps the storage's address from being given to another.
        self._storages.setdefault(storage._cdata, StorageWeakRef(storage))
        return tensor

    def _moved(self, tensor: Tensor, to_gpu: bool, dtype: torch.dtype | None, copy: bool) -> Tensor:
        here = self.holds(tensor)
        if here == to_gpu and not copy and dtype in (None, tensor.dtype):
            return tensor
        if here and not to_gpu:
            self._wait("to the CPU")
        moved = tensor.to(dtype or tensor.dtype, copy=True)
        return self._take(moved) if to_gpu else moved

    def _wait(self, what: str) -> None:
        frames = [f for f in traceback.extract_stack() if "/smdl/" in f.filename]
        where = f"{frames[-1].filename.rpartition('/smdl/')[2]}:{frames[-1].lineno}" if frames else ""
        self.waits.append(f"{what} {where}")

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        first = args[0] if args and isinstance(args[0], Tensor) else None
        if func == Tensor.device.__get__:
            return GPU if self.holds(first) else func(first)
        if func == Tensor.is_cuda.__get__:
            return self.holds(first)
        if func == Tensor.grad.__get__:
            grad = func(first)
            return self._take(grad) if grad is not None and self.holds(first) else grad
        if func in (Tensor.backward, torch.autograd.backward, torch.autograd.grad):
            return self._backward(func, *args, **kwargs)
        if func is Tensor.to:
            return self._to(*args, **kwargs)
        if func is Tensor.cpu:
            return self._moved(first, False, None, False)
        if func is Tensor.cuda:
            return self._moved(first, True, None, False)
        return self._computed(func, first, args, kwargs)

    def _to(self, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        copy = bool(kwargs.pop("copy", False))
        places = [given for given in args if not isinstance(given, Tensor)]
        device, dtype, *_ = torch._C._nn._parse_to(*places, **{k: v for k, v in kwargs.items() if k != "other"})
        other = next((a for a in (*args, kwargs.get("other")) if isinstance(a, Tensor)), None)
        if other is not None:
            device, dtype = GPU if self.holds(other) else torch.device("cpu"), other.dtype
        to_gpu = self.holds(tensor) if device is None else device.type == "cuda"
        return self._moved(tensor, to_gpu, dtype, copy)

    def _computed(self, func: Any, first: Tensor | None, args: Any, kwargs: dict[str, Any]) -> Any:
        device = kwargs.get("device")
        made_here = device is not None and torch.device(device).type == "cuda"
        if made_here:
            kwargs["device"] = "cpu"
            generator = kwargs.get("generator")
            assert generator is None, f"{_name(func)}: a generator of the CPU for a tensor of the GPU"
        given = [leaf for leaf in tree_iter((args, kwargs)) if isinstance(leaf, Tensor)]
        here = [self.holds(tensor) for tensor in given]
        if any(here) and func in ADDRESSED and not _launching():
            raise TypeError(f"{_name(func)}: can't convert a tensor of the GPU; use Tensor.cpu() first")
        if any(here) and func in WAITS:
            self._wait(_name(func))
        indexes = func is Tensor.__getitem__ and here[0]
        if any(here) and func not in ACROSS and not indexes:
            strange = [t for t, on in zip(given, here, strict=True) if not on and t.dim() > 0]
            if strange:
                shapes = ", ".join(str(tuple(tensor.shape)) for tensor in strange)
                raise RuntimeError(f"{_name(func)}: expected all tensors on cuda:0, but found one on cpu ({shapes})")
        found = func(*args, **kwargs)
        if func in ACROSS:
            return found
        asked_elsewhere = device is not None and not made_here
        if (any(here) and not asked_elsewhere) or made_here:
            tree_map_only(Tensor, self._take, found)
        return found

    def _backward(self, func: Any, outputs: Any, *args: Any, **kwargs: Any) -> Any:
        """As torch does it, but with this mode on in the hooks."""
        wanted = func is torch.autograd.grad
        names = ("inputs", "grad_outputs") if wanted else ("gradient", "retain_graph", "create_graph", "inputs")
        kwargs |= dict(zip(names, args, strict=False))
        outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
        gradients = kwargs.get("grad_outputs") or kwargs.get("gradient") or kwargs.get("grad_tensors")
        gradients = [gradients] if isinstance(gradients, Tensor) else gradients
        gradients = gradients or [torch.ones_like(output) for output in outputs]
        inputs = kwargs.get("inputs") or ()
        inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
        create = bool(kwargs.get("create_graph"))
        retain = create if kwargs.get("retain_graph") is None else kwargs["retain_graph"]
        with self:
            found = _engine_run_backward(
                tuple(outputs),
                tuple(gradients),
                retain,
                create,
                tuple(inputs),
                allow_unreachable=not wanted or bool(kwargs.get("allow_unused")),
                accumulate_grad=not wanted,
            )
        if wanted and any(self.holds(output) for output in outputs):
            tree_map_only(Tensor, self._take, found)
        return tuple(found) if wanted else None


def _launching() -> bool:
    """Whether it is Triton that asks: its kernels get addresses on a GPU too."""
    return any("/triton/" in frame.filename for frame in traceback.extract_stack())


def _name(func: Any) -> str:
    return getattr(func, "__name__", str(func))
