"""The files of a checkpoint folder in Hugging Face format, and what can be wrong with them, seen without loading them.

Only names, sizes, JSON and headers are read, and no library but Python's own is needed: so the config's checks see a
damaged folder before any job starts.
"""

import json
import re
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

CONFIG = "config.json"
# In the order in which transformers looks for them; an index names the files that it is the index of.
WHOLE = ("model.safetensors", "pytorch_model.bin")
INDEX = {"model.safetensors": "model.safetensors.index.json", "pytorch_model.bin": "pytorch_model.bin.index.json"}

# Where the configs of the architectures say how many tokens the model reads at once.
POSITIONS = ("max_position_embeddings", "n_positions")

# Bits of an element of each type that safetensors knows; those that a model's own numbers may have come first.
FLOATS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16}
OTHERS = {
    **{"BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64, "C64": 64},
    **{"F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8},
    **{"F6_E2M3": 6, "F6_E3M2": 6, "F4": 4},
}
BITS = {**FLOATS, **OTHERS}

# What converters stored beside the parameters: causal masks, their fill value, rotary frequencies, positions.
BUFFERS = re.compile(
    r"\.(attn|attention|self_attn|crossattention)\.(bias|masked_bias)$|\.attn\.attention\.(bias|masked_bias)$"
    r"|rotary_emb\.(inv_freq|cos_cached|sin_cached)$|(^|\.)position_ids$"
)

LARGEST_HEADER = 100_000_000
LARGEST_POINTER = 1024
POINTER = b"version https://git-lfs"


class Damaged(ValueError):
    """What is wrong with one file; the text goes into a line that names it."""


@dataclass(frozen=True)
class Header:
    """A tensor as a safetensors header lists it; ``dtype`` is safetensors' name of its type."""

    dtype: str
    shape: tuple[int, ...]


def problems(folder: Path, context: int = 0) -> list[str]:
    """What is wrong with a checkpoint's files, a line each that names the file and what would be right; [] if nothing.

    ``context`` is the number of tokens that the model is to read at once. What only the model's own code knows (its
    parameters' names and shapes) is for `smdl.models.parameters` to say.
    """
    found: list[str] = []
    try:
        config = read_config(folder)
        positions = next((config[key] for key in POSITIONS if isinstance(config.get(key), int)), context)
        if context > positions:
            found.append(f"{folder / CONFIG}: the model reads {positions} tokens at a time, fewer than {context}")
    except Damaged as problem:
        found.append(str(problem))
        config = {}
    try:
        headers: dict[str, Header] = {}
        for file in weight_files(folder):
            headers |= _checked(file)
        found += _structure(folder, config, headers)
    except Damaged as problem:
        found.append(str(problem))
    return found


def read_config(folder: Path) -> dict[str, Any]:
    """The folder's config.json; Damaged where it is not there, not JSON, or says too little to load a model by."""
    path = folder / CONFIG
    config = _json(path)
    if not isinstance(config.get("model_type"), str):
        raise Damaged(f'{path}: has no "model_type" (as "gpt_neox" is): it is not the config of a transformers model')
    names = config.get("architectures")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise Damaged(f'{path}: has no "architectures" (as ["GPTNeoXForCausalLM"] is), so the model\'s kind is unknown')
    if config.get("quantization_config"):
        raise Damaged(f"{path}: the weights are quantized (quantization_config): give the model before that")
    return config


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights, as transformers picks them; Damaged where there are none, or not all."""
    for name in WHOLE:
        if _there(folder / name):
            return [folder / name]
        if _there(folder / INDEX[name]):
            return _indexed(folder / INDEX[name])
    shards = sorted([*folder.glob("model-*-of-*.safetensors"), *folder.glob("pytorch_model-*-of-*.bin")])
    if shards:
        index = INDEX[WHOLE[0] if shards[0].suffix == ".safetensors" else WHOLE[1]]
        raise Damaged(f"{folder}: has {len(shards)} shards but no {index}, which says what is in them")
    raise Damaged(f"{folder}: no weights there (model.safetensors or pytorch_model.bin, whole or in shards)")


def headers_of(file: Path) -> dict[str, Header]:
    """The tensors of a safetensors file by name; Damaged where header and file do not agree."""
    size = _size(file)
    with file.open("rb") as content:
        length = int.from_bytes(content.read(8), "little")
        if size < 8 or not 2 <= length <= min(LARGEST_HEADER, size - 8):
            raise Damaged(f"{file}: not a safetensors file, or cut short ({size} bytes): copy or download it again")
        text = content.read(length)
    try:
        listed = json.loads(text)
        listed.pop("__metadata__", None)
        tensors = {
            name: (Header(its["dtype"], tuple(its["shape"])), *map(int, its["data_offsets"]))
            for name, its in listed.items()
        }
        bits = [BITS[header.dtype] * prod(header.shape) for header, _, _ in tensors.values()]
        whole = all(type(n) is int and n >= 0 for header, _, _ in tensors.values() for n in header.shape)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise Damaged(f"{file}: its header is not that of a safetensors file: copy or download it again") from None
    end = 0
    for (_, first, last), wanted in sorted(zip(tensors.values(), bits, strict=True), key=lambda it: it[0][1:]):
        whole &= first == end and (last - first) * 8 == wanted
        end = last
    if not whole:
        raise Damaged(f"{file}: its header contradicts itself (sizes and places of tensors): download it again")
    if 8 + length + end != size:
        raise Damaged(f"{file}: {size} bytes, but its header says {8 + length + end}: copy or download it again")
    return {name: header for name, (header, _, _) in tensors.items()}


def _checked(file: Path) -> dict[str, Header]:
    """The headers of a file that is sound and holds numbers of a type that can be compressed; none of a pickle."""
    if file.suffix != ".safetensors":
        _check_pickle(file)
        return {}
    headers = headers_of(file)
    for name, header in headers.items():
        if header.dtype not in FLOATS and not BUFFERS.search(name):
            raise Damaged(
                f"{file}: {name} is of type {header.dtype}; weights must be float32, float16 or bfloat16,"
                " so give the model before it was quantized"
            )
    return headers


def _check_pickle(file: Path) -> None:
    size = _size(file)
    with file.open("rb") as content:
        start = content.read(2)
    # torch.save's own form is a zip, whose directory stands at its end; the form before it is a bare pickle.
    if start == b"PK" and not zipfile.is_zipfile(file):
        raise Damaged(f"{file}: cut short ({size} bytes): copy or download it again")
    if start != b"PK" and start[:1] != b"\x80":
        raise Damaged(f"{file}: not a file that torch.save wrote: copy or download it again")


def _structure(folder: Path, config: dict[str, Any], headers: dict[str, Header]) -> Iterator[str]:
    """Layers that are not there, or too many: the plainest sign of weights that are not the config's."""
    layers = next((config[key] for key in ("num_hidden_layers", "n_layer") if key in config), None)
    if not headers or not config:
        return
    found = {int(match[1]) for name in headers if (match := re.search(r"(?:^|\.)(?:layers|h)\.(\d+)\.", name))}
    if isinstance(layers, int) and found and found != set(range(layers)):
        odd = sorted(set(range(layers)) - found) or sorted(found - set(range(layers)))
        what = "there are no weights of" if set(range(layers)) - found else f"{CONFIG} has {layers} layers, not"
        yield f"{folder}: {what} layer {', '.join(map(str, odd[:5]))}: the weights are not those of {CONFIG}"


def _indexed(index: Path) -> list[Path]:
    """The files that an index names; they stand beside it, and hold what it says."""
    places = _json(index).get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(name, str) for name in places.values()):
        raise Damaged(f"{index}: has no weight_map that says which file holds which tensor: download it again")
    names = sorted(set(places.values()))
    for name in names:
        if Path(name).name != name:
            raise Damaged(f"{index}: names {name!r}, which is not a file beside it: download it again")
    missing = [name for name in names if not _there(index.parent / name)]
    if missing:
        raise Damaged(f"{index}: names {', '.join(missing[:3])}, not there ({len(missing)} of {len(names)} files)")
    files = [index.parent / name for name in names]
    for file in files:
        wanted = {tensor for tensor, name in places.items() if name == file.name}
        lacking = sorted(wanted - set(headers_of(file))) if file.suffix == ".safetensors" else []
        if lacking:
            raise Damaged(f"{index}: says that {file.name} holds {lacking[0]}, and it does not: download both again")
    return files


def _json(path: Path) -> dict[str, Any]:
    _size(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise Damaged(f"{path}: is not JSON: copy or download it again") from None
    if not isinstance(value, dict):
        raise Damaged(f"{path}: is JSON, but not an object of names and values: copy or download it again")
    return value


def _there(path: Path) -> bool:
    """Whether there is anything of that name, be it a link to nothing, which is then told as such."""
    return path.is_symlink() or path.exists()


def _size(path: Path) -> int:
    """Size in bytes of a file that has content of its own; Damaged, with the reason, for anything else."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise Damaged(f"{path}: is not a file")
        with path.open("rb") as content:
            start = content.read(len(POINTER))
    except FileNotFoundError:
        if path.is_symlink():
            raise Damaged(f"{path}: a link to {path.readlink()}, where there is nothing") from None
        raise Damaged(f"{path}: is not there") from None
    except OSError as error:
        raise Damaged(f"{path}: cannot be read ({error.strerror})") from None
    if status.st_size == 0:
        raise Damaged(f"{path}: is empty: copy or download it again")
    if status.st_size <= LARGEST_POINTER and start == POINTER:
        raise Damaged(f"{path}: only git-lfs's pointer to the file; fetch the file itself with git lfs pull")
    return status.st_size
