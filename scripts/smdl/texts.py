"""Documents for the corpus, one at a time: from a folder on disk, or from as much of a hub's dataset as is needed.

Both hold plain text, JSONL or Parquet, the first two compressed or not; the order is that of the files' paths.
"""

import gzip
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from smdl.errors import StudyError

COMPRESSED: dict[str, Callable[[BinaryIO], BinaryIO]] = {
    ".gz": lambda raw: gzip.GzipFile(fileobj=raw),
    ".zst": lambda raw: zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True),
}
FORMS = (".txt", ".jsonl", ".json", ".parquet")
BATCH_ROWS = 256


def folder_documents(folder: str | Path, column: str) -> Iterator[str]:
    """The documents of every readable file below ``folder``; StudyError where there is none."""
    paths = text_files(folder)
    if not paths:
        raise StudyError(f"corpus.path: {folder} holds no {_named_forms()} file")
    for path in paths:
        with path.open("rb") as raw:
            yield from _documents(raw, str(path), column)


def text_files(folder: str | Path) -> list[Path]:
    """Every file below ``folder`` whose name tells how to read it, in the order of their paths."""
    return sorted(path for path in Path(folder).rglob("*") if path.is_file() and _form(path.name))


def hub_documents(repo: str, revision: str, files: str, column: str) -> tuple[str, Iterator[str]]:
    """The commit that ``revision`` of a dataset means, and the documents of the files that match the glob ``files``.

    Files are read as a stream, in the order of their paths, no further than the documents are asked for. Raises
    StudyError, in one line, where the dataset, revision or files are missing or cannot be reached.
    """
    from smdl import hub

    at = hub.revision(repo, revision, kind="dataset")
    paths = sorted(f.path for f in at.files if _form(f.path) and PurePosixPath(f.path).match(files))
    if not paths:
        raise StudyError(f"corpus.files: {repo} at {revision} has no {_named_forms()} file that matches {files!r}")
    return at.commit, _hub_stream(at.repo, at.commit, paths, column)


def _hub_stream(repo: str, commit: str, paths: list[str], column: str) -> Iterator[str]:
    from huggingface_hub import HfFileSystem

    from smdl import hub

    with hub.explained(repo, commit):
        system = HfFileSystem()
        for path in paths:
            with system.open(f"datasets/{repo}@{commit}/{path}", "rb") as raw:
                yield from _documents(raw, path, column)


def _documents(raw: BinaryIO, name: str, column: str) -> Iterator[str]:
    suffix = PurePosixPath(name).suffix
    content = COMPRESSED[suffix](raw) if suffix in COMPRESSED else raw
    try:
        match _form(name):
            case ".parquet":
                yield from _parquet(raw, name, column)
            case ".txt":
                yield io.TextIOWrapper(content, "utf-8").read()
            case _:
                yield from _json_lines(content, name, column)
    except UnicodeDecodeError as error:
        raise StudyError(f"corpus: {name} is not UTF-8 text ({error.reason} at byte {error.start})") from error
    except (gzip.BadGzipFile, EOFError, zstandard.ZstdError, pa.ArrowInvalid) as error:
        raise StudyError(f"corpus: {name} is damaged or cut off ({error})") from error


def _json_lines(content: BinaryIO, name: str, column: str) -> Iterator[str]:
    for number, line in enumerate(io.TextIOWrapper(content, "utf-8"), start=1):
        if not line.strip():
            continue
        try:
            text = json.loads(line)[column]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise StudyError(f"corpus: {name}, line {number}: not a JSON object with a key {column!r}") from error
        if not isinstance(text, str):
            raise StudyError(f"corpus: {name}, line {number}: {column!r} is not text")
        yield text


def _parquet(raw: BinaryIO, name: str, column: str) -> Iterator[str]:
    file = pq.ParquetFile(raw)
    if column not in file.schema_arrow.names:
        known = ", ".join(file.schema_arrow.names)
        raise StudyError(f"corpus: {name} has no column {column!r}; it has {known}: set corpus.column")
    for batch in file.iter_batches(BATCH_ROWS, columns=[column]):
        yield from (text for text in batch.column(0).to_pylist() if text is not None)


def _form(name: str) -> str | None:
    """The suffix that tells how to read a file, compression aside; None for a file that is no text."""
    path = PurePosixPath(name)
    suffix = PurePosixPath(path.stem).suffix if path.suffix in COMPRESSED else path.suffix
    return suffix if suffix in FORMS and not (suffix == ".parquet" and path.suffix in COMPRESSED) else None


def _named_forms() -> str:
    return "/".join(FORMS) + " (or .gz, .zst)"
