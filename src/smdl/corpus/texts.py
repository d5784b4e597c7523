"""Documents for the corpus, one at a time: from a folder on disk, or from as much of a hub's dataset as is needed.

Both hold plain text, JSONL or Parquet, the first two compressed or not; the order is that of the files' paths.
"""

import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from smdl.corpus.text_files import files_below, form_of, known_forms
from smdl.foundation.errors import StudyError, one_line, shown

if TYPE_CHECKING:
    from smdl.hub.client import RemoteFile, Revision

# So much of a compressed file is unpacked at a time (bytes): a small one may unpack to a very large one.
PACKED_PIECE = 8192


class _Zstandard(io.RawIOBase):
    """The content of a .zst file; EOFError where its last frame has no end, which zstandard's own reader lets pass."""

    def __init__(self, raw: BinaryIO):
        self.raw, self.frame, self.packed, self.unpacked = raw, None, b"", memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.unpacked and self._unpack():
            pass
        part, self.unpacked = self.unpacked[: len(buffer)], self.unpacked[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)

    def _unpack(self) -> bool:
        """Unpack the next piece; whether there was one."""
        self.packed = self.packed or self.raw.read(PACKED_PIECE)
        if not self.packed:
            if self.frame is not None:
                raise EOFError("it ends before its last frame does")
            return False
        self.frame = self.frame or zstandard.ZstdDecompressor().decompressobj()
        self.unpacked = memoryview(self.frame.decompress(self.packed))
        self.packed = self.frame.unused_data
        self.frame = None if self.frame.eof else self.frame
        return True


COMPRESSED: dict[str, Callable[[BinaryIO], BinaryIO]] = {
    ".gz": lambda raw: gzip.GzipFile(fileobj=raw),
    ".zst": lambda raw: io.BufferedReader(_Zstandard(raw)),
}
BATCH_ROWS = 256
REMOTE_BUFFER = 2**22
DAMAGE = (gzip.BadGzipFile, zlib.error, EOFError, zstandard.ZstdError, pa.ArrowException)


def folder_documents(folder: str | Path, column: str) -> Iterator[str]:
    """The documents of every file of a known form below ``folder``; StudyError where there is none, or one not read."""
    paths = sorted(files_below(folder))
    if not paths:
        raise StudyError(f"corpus.path: {folder} holds no {known_forms()} file")
    for path in paths:
        try:
            if not path.is_file():
                what = "a link that leads nowhere" if path.is_symlink() else "no ordinary file"
                raise StudyError(f"corpus: {one_line(path)} is {what}: remove it, or put the file there")
            with path.open("rb") as raw:
                yield from _documents(raw, str(path), column)
        except OSError as error:
            raise StudyError(
                f"corpus: {one_line(path)} cannot be read ({error.strerror or one_line(error)})"
            ) from error


def spoken(documents: Iterator[str], source: str) -> Iterator[str]:
    """``documents``; StudyError at their end where none of them held more than blanks."""
    said = False
    for text in documents:
        said = said or not (not text or text.isspace())
        yield text
    if not said:
        raise StudyError(f"corpus: {one_line(source)} holds no text, only blanks or nothing")


def hub_documents(repo: str, revision: str, files: str, column: str) -> tuple[str, Iterator[str]]:
    """The commit that ``revision`` of a dataset means, and the documents of the files that match the glob ``files``.

    Files are read as a stream, in the order of their paths, no further than the documents are asked for. Raises
    StudyError, in one line, where the dataset, revision or files are missing or cannot be reached.
    """
    from smdl.hub import client as hub

    at = hub.revision(repo, revision, kind="dataset")
    found = sorted(
        (f for f in at.files if form_of(f.path) and PurePosixPath(f.path).match(files)), key=lambda f: f.path
    )
    if not found:
        raise StudyError(f"corpus.files: {repo} at {revision} has no {known_forms()} file that matches {files!r}")
    return at.commit, _hub_stream(at, found, column)


def _hub_stream(at: "Revision", files: list["RemoteFile"], column: str) -> Iterator[str]:
    from smdl.hub.client import RemoteContent

    for file in files:
        yield from _documents(io.BufferedReader(RemoteContent(at, file), REMOTE_BUFFER), file.path, column)


def _documents(raw: BinaryIO, path: str, column: str) -> Iterator[str]:
    suffix, name = PurePosixPath(path).suffix, one_line(path)
    content = COMPRESSED[suffix](raw) if suffix in COMPRESSED else raw
    try:
        match form_of(path):
            case ".parquet":
                yield from _parquet(raw, name, column)
            case ".txt":
                yield _plain_text(content, name)
            case _:
                yield from _json_lines(content, name, column)
    except UnicodeDecodeError as error:
        raise StudyError(f"corpus: {name} is not UTF-8 text ({error.reason} at byte {error.start})") from error
    except DAMAGE as error:
        raise StudyError(f"corpus: {name} is damaged or cut off ({one_line(error)})") from error
    except OSError as error:
        # pyarrow's word for damage has no number; a disk's error has one.
        if error.errno is not None:
            raise
        raise StudyError(f"corpus: {name} is damaged or cut off ({one_line(error)})") from error


def _plain_text(content: BinaryIO, name: str) -> str:
    text = io.TextIOWrapper(content, "utf-8-sig").read()
    if "\0" in text:
        raise StudyError(
            f"corpus: {name} is not UTF-8 text (a byte 0 at character {text.index(chr(0))}: a binary file, or UTF-16)"
        )
    return text


def _json_lines(content: BinaryIO, name: str, column: str) -> Iterator[str]:
    for number, line in enumerate(content, start=1):
        where = f"corpus: {name}, line {number}"
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise StudyError(f"{where}: not UTF-8 text ({error.reason} at byte {error.start})") from error
        if text.strip():
            yield _text_of(text, where, column)


def _text_of(line: str, where: str, column: str) -> str:
    """The text in one line of JSONL."""
    try:
        text = json.loads(line)[column]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StudyError(f"{where}: not a JSON object with a key {column!r}") from error
    if not isinstance(text, str):
        raise StudyError(f"{where}: {column!r} is not text but {shown(text)}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = ascii(text[error.start])
        raise StudyError(f"{where}: half of a surrogate pair, {half}, which is no character") from error
    return text


def _parquet(raw: BinaryIO, name: str, column: str) -> Iterator[str]:
    file = pq.ParquetFile(raw)
    if column not in file.schema_arrow.names:
        known = ", ".join(map(one_line, file.schema_arrow.names))
        raise StudyError(f"corpus: {name} has no column {column!r}; it has {known}: set corpus.column")
    kind = file.schema_arrow.field(column).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise StudyError(f"corpus: {name}: the column {column!r} holds {kind}, not text: set corpus.column")
    for batch in file.iter_batches(BATCH_ROWS, columns=[column]):
        yield from (text for text in batch.column(0).to_pylist() if text is not None)
