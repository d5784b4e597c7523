"""Which of a checkpoint's stored tensors are the model's parameters, by the model's own list of names.

Real suites store more: causal masks and rotary frequencies (buffers), and a tied head a second time (a copy). Neither
counts for anything. The list comes from the model's class, built without memory from config.json, and the names on
disk are turned into the model's own as transformers does it when it loads.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal

import torch
from safetensors import safe_open
from torch import Tensor, nn

from smdl.foundation.errors import StudyError
from smdl.models.files import BUFFERS, FLOATS, Damaged, Header, headers_of, read_config, weight_files
from smdl.models.pickles import read_pickle

# safetensors' names of the types of what pickles hold.
NAMES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}

Kind = Literal["parameter", "copy", "buffer"]


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of a checkpoint: its file and name there, what it is to the model, and the model's name of it.

    A ``copy`` is a tied parameter stored again. A buffer has no ``parameter``; of tied ones it is the first name.
    """

    file: Path
    name: str
    kind: Kind
    parameter: str


def contents(folder: str | Path) -> list[StoredTensor]:
    """All tensors of a checkpoint folder, by file and name.

    Raises StudyError, in one line, where files are damaged, or where the tensors are not all the parameters, and only
    the parameters, of the model that config.json describes.
    """
    folder = Path(folder)
    try:
        config = read_config(folder)
        listed = {(file, name): header for file in weight_files(folder) for name, header in _headers(file).items()}
    except Damaged as problem:
        raise StudyError(str(problem)) from None
    model = _skeleton(folder, config)
    stored = _matched(folder, model, listed)
    _check_copies(folder, stored)
    return stored


def count(folder: str | Path) -> int:
    """Number of weights of the model that a folder's config.json describes, tied ones once; no weights are read.

    Raises StudyError, in one line, where there is none such.
    """
    folder = Path(folder)
    try:
        config = read_config(folder)
    except Damaged as problem:
        raise StudyError(str(problem)) from None
    return sum(parameter.numel() for parameter in _skeleton(folder, config).parameters())


def tensors(stored: list[StoredTensor]) -> Iterator[tuple[StoredTensor, Tensor]]:
    """Each of ``stored`` with its numbers, which are mapped from disk, one at a time; every file is opened once."""
    for file, own in groupby(stored, key=lambda tensor: tensor.file):
        if file.suffix != ".safetensors":
            content = read_pickle(file)
            yield from ((tensor, content[tensor.name]) for tensor in own)
            continue
        with safe_open(file, framework="pt") as content:
            yield from ((tensor, content.get_tensor(tensor.name)) for tensor in own)


def _headers(file: Path) -> dict[str, Header]:
    if file.suffix == ".safetensors":
        return headers_of(file)
    content = read_pickle(file)
    return {name: Header(NAMES.get(t.dtype, str(t.dtype)), tuple(t.shape)) for name, t in content.items()}


def _matched(folder: Path, model: nn.Module, listed: dict[tuple[Path, str], Header]) -> list[StoredTensor]:
    """Every tensor of a folder as what it is to the model; StudyError where they are not the model's own."""
    rename, first = _renaming(folder, model), _first_names(model)
    expected = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    buffers = {name for name, _ in model.named_buffers()}
    stored, there, unexpected, wrong = [], set(), [], []
    names = {place: rename(place[1]) for place in listed}
    # Of tied ones the one under the parameter's own name is the parameter, wherever it stands.
    for file, name in sorted(listed, key=lambda place: first.get(names[place]) != names[place]):
        own, header = names[file, name], listed[file, name]
        parameter = first.get(own, "")
        if parameter:
            stored.append(StoredTensor(file, name, "copy" if parameter in there else "parameter", parameter))
            there.add(parameter)
            if header.dtype not in FLOATS:
                wrong.append(f"{name} is of type {header.dtype}, not floating point")
            elif header.shape != expected[parameter]:
                wrong.append(f"{name} has shape {list(header.shape)}, not {list(expected[parameter])}")
        elif own in buffers or BUFFERS.search(f".{name}"):
            stored.append(StoredTensor(file, name, "buffer", ""))
        else:
            unexpected.append(name)
    missing = [name for name in expected if name not in there]
    if missing or unexpected or wrong:
        found = [_told("missing: ", missing), _told("not the model's: ", unexpected), _told("", wrong)]
        raise StudyError(
            f"{folder}: not the weights of the {type(model).__name__} that config.json describes: "
            + "; ".join(filter(None, found))
        )
    return sorted(stored, key=lambda tensor: (tensor.file, tensor.name))


def _check_copies(folder: Path, stored: list[StoredTensor]) -> None:
    """StudyError where what config.json ties is stored twice and differs; transformers would then not tie it."""
    copied = {tensor.parameter for tensor in stored if tensor.kind == "copy"}
    firsts: dict[str, tuple[StoredTensor, Tensor]] = {}
    for tensor, numbers in tensors([tensor for tensor in stored if tensor.parameter in copied]):
        first, its = firsts.setdefault(tensor.parameter, (tensor, numbers))
        if not torch.equal(numbers, its):
            raise StudyError(
                f"{folder}: {first.name} and {tensor.name} differ, but config.json ties them: set its"
                " tie_word_embeddings to false"
            )


def _skeleton(folder: Path, config: dict[str, Any]) -> nn.Module:
    """The model that config.json describes, without memory for its weights; StudyError where there is none such."""
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        its = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(its, trust_remote_code=False)
    except Exception as error:  # transformers has no one type for all that can be wrong with a config
        raise StudyError(f"{folder}: {_why(error, config)}") from error
    if type(model).__name__.lower() not in map(str.lower, config["architectures"]):
        raise StudyError(
            f"{folder}: config.json is that of {', '.join(config['architectures'])}, not of a causal language model"
            f" ({type(model).__name__})"
        )
    return model


def _why(error: Exception, config: dict[str, Any]) -> str:
    if "auto_map" in config and "code" in str(error):
        return (
            "config.json asks for code of its own (auto_map), which is never run, and transformers itself has no model"
            f" of type {config['model_type']}"
        )
    reason = shorten(str(error) or type(error).__name__, 200, placeholder=" ...")
    return f"no causal language model that transformers can load ({reason})"


def _renaming(folder: Path, model: nn.Module) -> Callable[[str], str]:
    """The function from a tensor's name on disk to the model's own, as transformers renames it when it loads.

    It raises StudyError for a tensor that is not renamed only, but made into another one (experts stacked, say).
    """
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

    mapping = get_model_conversion_mapping(model)
    renamings = [entry for entry in mapping if isinstance(entry, WeightRenaming)]
    converters = [entry for entry in mapping if isinstance(entry, WeightConverter)]
    own = model.state_dict()

    def rename(name: str) -> str:
        found, converter = rename_source_key(name, renamings, converters, model.base_model_prefix, own)
        if found not in own and name in own:
            return name
        if converter is not None:
            raise StudyError(
                f"{folder}: {name} of the {type(model).__name__} is stored in another form than the model uses it in"
                " (experts apart); such models are not handled"
            )
        return found

    return rename


def _first_names(model: nn.Module) -> dict[str, str]:
    """Every name of every parameter, with the first name of that parameter: tied ones have several."""
    firsts: dict[int, str] = {}
    return {
        name: firsts.setdefault(id(parameter), name)
        for name, parameter in model.named_parameters(remove_duplicate=False)
    }


def _told(what: str, names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{what}{', '.join(names[:3])}{more}" if names else ""
