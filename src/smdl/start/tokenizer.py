"""The tokenizer that a study begins with: the model's own, or one that is named."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from smdl.corpus.blocks import BYTES as SIZE_OF_BYTES
from smdl.corpus.blocks import read_tokenizer, tokenizer_from_hub
from smdl.foundation.errors import StudyError
from smdl.settings.base import REPOSITORY
from smdl.start.model import BYTES, Model
from smdl.start.questions import ask


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer: bytes, a file, or a repository whose tokenizer.json was ``fetched``."""

    name: str
    fetched: bytes | None = None


def tokenizer_of(given: str | None, model: Model) -> Tokenizer:
    """The tokenizer that is given, or else the model's own; StudyError where it has tokens that the model lacks."""
    name = given or model.tokenizer
    if name is None:
        question = f"no tokenizer.json of {model.name} was found: bytes, a tokenizer.json, or owner/name of one"
        name = ask("--tokenizer", question)
    content = None
    if name == BYTES:
        vocabulary = SIZE_OF_BYTES
    else:
        content = _content(name)
        _, vocabulary = read_tokenizer(content, name)
    if 0 < model.vocabulary < vocabulary:
        raise StudyError(
            f"--tokenizer: {name} has {vocabulary} tokens and the model {model.vocabulary}: it is another model's"
        )
    on_disk = name != BYTES and Path(name).is_file()
    return Tokenizer(os.path.abspath(name)) if on_disk else Tokenizer(name, content)


def _content(name: str) -> bytes:
    """A tokenizer.json of this disk, or of a repository."""
    if Path(name).is_file():
        return Path(name).read_bytes()
    if not re.match(REPOSITORY, name):
        raise StudyError(f"--tokenizer: {name!r} is neither bytes, nor a tokenizer.json file, nor owner/name")
    return tokenizer_from_hub(name)
