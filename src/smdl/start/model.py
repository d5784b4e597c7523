"""What a model is, seen without its weights: where its checkpoints are, its size, its context and its tokenizer."""

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from glob import escape, glob
from pathlib import Path

from smdl.foundation.errors import StudyError, WrongUsage
from smdl.models.architectures import objections, read_config
from smdl.models.files import CONFIG, POSITIONS

TOKENIZER = "tokenizer.json"
BYTES = "bytes"
# What a model of bytes has as its vocabulary: the bytes, and a few signs or some padding.
VOCABULARIES_OF_BYTES = range(256, 513)
# How suites name the branch of a checkpoint; the first that fits a repository is taken where none is given.
BRANCHES = ("step{step}", "step{step}-*", "stage1-step{step}-*", "checkpoint-{step}")
TOLD = 5

Choose = Callable[[tuple[int, ...]], tuple[int, ...] | None]
"""Which of a model's steps are wanted; None for all."""


@dataclass(frozen=True)
class Model:
    """A model as a config has to know it; ``place`` holds the keys that say where its checkpoints are.

    ``steps`` is empty for a model of one checkpoint. ``context`` (tokens) is None and ``vocabulary`` 0 where the
    config.json does not tell, ``tokenizer`` None where none was found. ``bits`` are those of a stored weight.
    """

    name: str
    place: dict[str, str]
    steps: tuple[int, ...]
    parameters: int
    context: int | None
    vocabulary: int
    bits: int
    tokenizer: str | None


def on_hub(repo: str, revision: str | None, choose: Choose) -> Model:
    """The model of a repository, its checkpoints on the branches that ``revision``, or a usual name, fits.

    Raises StudyError, in one line, where the hub has no such model or compression cannot handle it.
    """
    from smdl.hub import client as hub
    from smdl.sources.listing import FINAL, branch_of, steps_of

    branches = hub.branches(repo)
    pattern = revision or next((usual for usual in BRANCHES if steps_of(usual, branches)), FINAL)
    there = tuple(sorted(set(steps_of(pattern, branches))))
    if "{step}" in pattern and not there:
        raise StudyError(f"--revision: {repo} has no branch such as {pattern}; it has {_some(branches)}")
    steps = _chosen(f"{repo} at {pattern}", there, choose)
    for step in steps:
        branch_of(repo, pattern, step, branches)
    at = hub.revision(repo, branch_of(repo, pattern, steps[0], branches) if steps else pattern)
    config = next(file for file in hub.weight_files(at) if file.path == CONFIG)
    with tempfile.TemporaryDirectory() as folder, _as_of(folder, str(at)):
        hub.download(at, [config], folder, Path(folder, "partial"))
        final = {file.path for file in hub.revision(repo, FINAL).files}
        place = {"source": "hub", "repo": repo, "revision": pattern}
        return _seen(Path(folder), repo.split("/")[-1], place, steps, repo if TOKENIZER in final else None)


def on_disk(path: str, choose: Choose) -> Model:
    """The model in the user's folder ``path``, or in the folders that stand where it has {step}.

    Raises StudyError, in one line, where there is none or compression cannot handle it.
    """
    path = os.path.abspath(os.path.expanduser(path))
    there = _steps_below(path)
    if "{step}" in path and not there:
        raise StudyError(f"--path: there is no folder such as {path}")
    steps = _chosen(path, there, choose)
    folder = Path(path.replace("{step}", str(steps[0]))) if steps else Path(path)
    if not folder.is_dir():
        raise StudyError(f"--path: {path} is not a folder")
    tokenizer = folder / TOKENIZER
    place = {"source": "local", "path": path}
    return _seen(folder, _name(path), place, steps, str(tokenizer) if tokenizer.is_file() else None)


def _seen(folder: Path, name: str, place: dict[str, str], steps: tuple[int, ...], tokenizer: str | None) -> Model:
    """The model whose config.json lies in ``folder``."""
    config = read_config(folder)
    for problem in objections(config, schemes=()):
        raise StudyError(f"{folder / CONFIG}: {problem}")
    # torch and transformers, several seconds: only once it is a model that can be measured.
    from smdl.models.parameters import count

    vocabulary = config["vocab_size"] if isinstance(config.get("vocab_size"), int) else 0
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-") or "model"
    context = next((config[key] for key in POSITIONS if isinstance(config.get(key), int)), None)
    bits = 32 if "32" in str(config.get("dtype", config.get("torch_dtype", "float32"))) else 16
    found = tokenizer or (BYTES if vocabulary in VOCABULARIES_OF_BYTES else None)
    return Model(name, place, steps, count(folder), context, vocabulary, bits, found)


def _chosen(where: str, there: tuple[int, ...], choose: Choose) -> tuple[int, ...]:
    """The steps that are wanted of those that are there; StudyError where one is not."""
    wanted = choose(there)
    if wanted is None:
        return there
    if not there:
        raise WrongUsage(f"--steps: {where} is one checkpoint; its branch or folder needs {{step}} to be several")
    if missing := sorted(set(wanted) - set(there)):
        raise StudyError(f"--steps: {where} has no checkpoint of step {_some(missing)}; it has {_some(there)}")
    return wanted


def _steps_below(path: str) -> tuple[int, ...]:
    """The steps that the folders of a pattern have."""
    if "{step}" not in path:
        return ()
    first, *others = path.split("{step}")
    # No training is longer than 15 digits tell; a step has the same digits wherever it stands.
    expression = re.escape(first) + "(0|[1-9][0-9]{0,14})" + r"\1".join(map(re.escape, others))
    found = (folder for folder in glob("[0-9]*".join(map(escape, (first, *others)))) if os.path.isdir(folder))
    return tuple(sorted(int(match[1]) for folder in found if (match := re.fullmatch(expression, folder))))


def _name(path: str) -> str:
    """The last folder of a path that is more than the place of a step."""
    parts = [part for part in Path(path).parts if "{step}" not in part]
    return parts[-1] if parts else "model"


@contextmanager
def _as_of(folder: str, where: str) -> Iterator[None]:
    """Let errors name ``where`` a file came from, not the ``folder`` that it is looked at in."""
    try:
        yield
    except StudyError as problem:
        raise StudyError(str(problem).replace(f"{folder}/", f"{where}, ").replace(folder, where)) from None


def _some(items: object) -> str:
    listed = [str(item) for item in items]
    return ", ".join(listed) if len(listed) <= TOLD else f"{', '.join(listed[: TOLD - 1])}, ..., {listed[-1]}"
