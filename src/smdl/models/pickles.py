"""Old branches hold their weights as pickles only: read without running code, written as safetensors.

So every later job finds one form, and maps it from disk.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from smdl.foundation.errors import StudyError, one_line
from smdl.foundation.files import replacing

INDEX = "model.safetensors.index.json"


def to_safetensors(folder: str | Path) -> None:
    """Turn every ``pytorch_model*.bin`` of ``folder`` into safetensors of the same tensors and remove it.

    One shard at a time, mapped from disk. Raises StudyError for a pickle that holds more than tensors.
    """
    folder = Path(folder)
    pickles = sorted(folder.glob("pytorch_model*.bin"))
    places: dict[str, str] = {}
    for path in pickles:
        tensors = _unshared(read_pickle(path))
        target = folder / path.name.replace("pytorch_model", "model").replace(".bin", ".safetensors")
        with replacing(target) as temporary:
            save_file(tensors, temporary, metadata={"format": "pt"})
        places |= dict.fromkeys(tensors, target.name)
        del tensors
        path.unlink()
    if len(pickles) > 1:
        (folder / "pytorch_model.bin.index.json").unlink(missing_ok=True)
        with replacing(folder / INDEX) as temporary:
            temporary.write_text(json.dumps({"metadata": {}, "weight_map": places}, indent=1))


def read_pickle(path: Path) -> dict[str, Tensor]:
    """The tensors of a pickle by name, mapped from disk where its form allows it; no code in it is run.

    Raises StudyError where it holds anything but tensors, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            mapped = file.read(2) == b"PK"
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # whatever bytes are read as a program may raise anything
        raise StudyError(f"{path}: not a pickle of tensors alone, so it is not read ({_reason(error)})") from error
    named = isinstance(content, dict) and content and all(isinstance(name, str) for name in content)
    if not named or not all(isinstance(value, Tensor) and _plain(value) for value in content.values()):
        raise StudyError(f"{path}: holds other things than named tensors, or none, so it is not read")
    return content


def _plain(tensor: Tensor) -> bool:
    """Whether a tensor's numbers are there, one by one."""
    return tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_meta


def _reason(error: Exception) -> str:
    """What torch found, in its first sentence, without its advice to load the file all the same."""
    text = str(error).partition("WeightsUnpickler error: ")[2] or str(error)
    return one_line(text.partition(". ")[0]) or type(error).__name__


def _unshared(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors contiguous, and those that share their storage with an earlier one copied, as safetensors asks."""
    seen: set[int] = set()
    result = {}
    for name, tensor in tensors.items():
        shares = tensor.untyped_storage().data_ptr() in seen
        seen.add(tensor.untyped_storage().data_ptr())
        result[name] = tensor.clone() if shares else tensor.contiguous()
    return result
