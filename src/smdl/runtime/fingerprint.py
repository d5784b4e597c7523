"""How it is noticed, when a run is planned, that the user's files are others than before: by names, sizes and content.

Times do not count, so that a file which is copied again or touched reruns nothing. Content is read up to a limit, and
beyond it in samples over the whole length: other weights differ nearly everywhere. What samples miss, a job finds that
reads the weights (smdl.models.same_weights).
"""

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from smdl.corpus.text_files import files_below

CHUNK = 2**16
WEIGHTS_LIMIT, TEXT_LIMIT = 2**24, 2**28
"""Bytes that are read of a checkpoint, and of a corpus."""


def weights_fingerprint(folder: str | Path) -> str:
    """A digest of the files of a checkpoint folder that a model is loaded from."""
    return _digest(folder, filter(_is_part_of_model, Path(folder).iterdir()), WEIGHTS_LIMIT)


def text_fingerprint(folder: str | Path | None, tokenizer: str) -> str | None:
    """A digest of the texts below ``folder``, and of the tokenizer where it is a file; None where neither is given."""
    texts = [] if folder is None else sorted(files_below(folder))
    own = [Path(tokenizer)] if Path(tokenizer).is_file() else []
    return _digest(folder or "", [*texts, *own], TEXT_LIMIT) if texts or own else None


def _is_part_of_model(path: Path) -> bool:
    weights = path.suffix in (".safetensors", ".bin") or path.name.endswith(".index.json")
    return path.is_file() and (weights or path.name == "config.json")


def _digest(folder: str | Path, files: Iterable[Path], limit: int) -> str:
    """One digest of all ``files``, of which no more than about ``limit`` bytes are read; their order does not count."""
    files = sorted(files)
    share = max(limit // max(len(files), 1), CHUNK)
    parts = [(str(path.relative_to(folder)) if path.is_relative_to(folder) else path.name, path) for path in files]
    told = "\n".join(f"{name} {_content(path, *_state(path), share)}" for name, path in parts)
    return hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@cache
def _content(path: Path, size: int, changed: int, share: int) -> str:
    """Size and digest of a file's content: all of it, or as many chunks as ``share`` bytes hold, from start to end."""
    digest = hashlib.sha256()
    count = max(share // CHUNK, 2)
    with path.open("rb") as content:
        if size <= count * CHUNK:
            digest.update(content.read())
        else:
            for number in range(count):
                content.seek((size - CHUNK) * number // (count - 1))
                digest.update(content.read(CHUNK))
    return f"{size} {digest.hexdigest()}"
