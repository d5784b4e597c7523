"""All that a hub answers is hostile until it was checked: names, digests and sizes, and how long its answers go on.

A listing decides which files are written here, how large, and under which names: so each entry is checked before
anything is opened. An answer without an end must not fill the memory, nor one of a byte a minute hold a study for ever.
"""

import json
import re
import time
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import constants
from huggingface_hub.utils._http import default_client_factory

from smdl.foundation.errors import StudyError, shown

# Of a commit and of git's blobs; of the content of large files.
SHA1, SHA256 = re.compile(r"[0-9a-f]{40}"), re.compile(r"[0-9a-f]{64}")

# Longest name and path that the usual file systems hold (bytes), and the size of no file of any suite (bytes).
LONGEST_NAME, LONGEST_PATH = 255, 1024
LARGEST_FILE = 10**12
# Files of text that a job reads whole (config.json, tokenizer.json and the like): the largest known have 34 MB.
LARGEST_TEXT = 100_000_000
# An answer that is no file: a listing of 100,000 files has 30 MB.
LARGEST_ANSWER = 100_000_000

# Slower than this for so long is as good as no connection; a server may not ask for a longer pause than that.
SLOWEST_BYTES_PER_SECOND = 1000
PATIENCE_SECONDS = 60.0
LONGEST_PAUSE = re.compile(r"\d{1,3}")

# Letters of any script are fine; control and format characters, lone surrogates and line separators are not.
UNPRINTED = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}

_longest: ContextVar[int] = ContextVar("longest answer", default=LARGEST_ANSWER)


class TooLong(Exception):
    """An answer is longer than what was asked for can be."""


def path_fault(path: Any) -> str:
    """What is wrong with a path in a repository, or with a branch's name; empty where nothing is."""
    if not isinstance(path, str) or not path:
        return "is no name"
    if any(unicodedata.category(character) in UNPRINTED for character in path):
        return "holds characters that no name has"
    if path.startswith("/") or "\\" in path:
        return "is not a path below its folder"
    parts = path.split("/")
    if not {"", ".", ".."}.isdisjoint(parts):
        return "is not a path below its folder"
    if len(path.encode()) > LONGEST_PATH or any(len(part.encode()) > LONGEST_NAME for part in parts):
        return "is longer than any name"
    return ""


def digest_fault(digest: Any, form: re.Pattern[str]) -> str:
    """What is wrong with a commit, blob or content digest; empty where nothing is."""
    return "" if isinstance(digest, str) and form.fullmatch(digest) else f"the digest {shown(digest)}"


def size_fault(size: Any) -> str:
    """What is wrong with a size (bytes); empty where nothing is."""
    plausible = type(size) is int and 0 <= size <= LARGEST_FILE
    return "" if plausible else f"a size of {shown(size)} bytes"


def listing_faults(files: Iterable[Any]) -> Iterator[str]:
    """What is wrong with a listing's files (smdl.hub.client.RemoteFile)."""
    files = list(files)
    for file in files:
        if fault := path_fault(file.path):
            yield f"the file {shown(file.path)}, which {fault}"
            continue
        digest = digest_fault(file.blob, SHA1) if file.sha256 is None else digest_fault(file.sha256, SHA256)
        if fault := digest or size_fault(file.size):
            yield f"{fault} for {shown(file.path)}"
    paths = Counter(file.path for file in files if isinstance(file.path, str))
    yield from (f"{shown(path)} {count} times" for path, count in paths.items() if count > 1)


def check_index(path: Path, shards: Iterable[str]) -> None:
    """Raise StudyError where a checkpoint's index sends the reader of its weights to other files than its shards."""
    try:
        places = json.loads(path.read_bytes())["weight_map"]
        named = set(places.values())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise StudyError(
            f"{path}: not an index of shards (a JSON object with weight_map): leave this step out"
        ) from None
    for name in sorted(named - set(shards), key=str):
        raise StudyError(f"{path}: sends to {shown(name)}, which is no shard beside it: leave this step out")


def check_object(path: Path) -> None:
    """Raise StudyError where a downloaded file, config.json for one, holds no JSON object."""
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise StudyError(f"{path}: not a JSON object: leave this step out")


@contextmanager
def at_most(length: int) -> Iterator[None]:
    """Take answers of at most ``length`` bytes inside: those of a file whose size is known."""
    token = _longest.set(length)
    try:
        yield
    finally:
        _longest.reset(token)


def client() -> httpx2.Client:
    """huggingface_hub's HTTP client with bounds: no request waits for ever, no answer goes on for ever."""
    made = default_client_factory()
    made.timeout = httpx2.Timeout(constants.HF_HUB_DOWNLOAD_TIMEOUT)
    made.event_hooks = {**made.event_hooks, "response": [_bound]}
    return made


def _bound(response: httpx2.Response) -> None:
    """The hook that every answer passes before its body is read."""
    asked = re.fullmatch(r"bytes=(\d+)-(\d+)", response.request.headers.get("Range", ""))
    longest = int(asked[2]) - int(asked[1]) + 1 if asked else _longest.get()
    # A redirect or a refusal has a body of its own.
    response.stream = _Bounded(response.stream, longest if response.is_success else LARGEST_ANSWER)
    # huggingface_hub sleeps for as long as the answer says.
    if not LONGEST_PAUSE.fullmatch(response.headers.get("Retry-After", "0").strip()):
        del response.headers["Retry-After"]
    if re.search(r"\bt\s*=\s*\d{4}", response.headers.get("RateLimit", "")):
        del response.headers["RateLimit"]


class _Bounded(httpx2.SyncByteStream):
    """The body of an answer, given up where it is too long or too slow."""

    def __init__(self, stream: httpx2.SyncByteStream, longest: int):
        self.stream, self.longest = stream, longest

    def __iter__(self) -> Iterator[bytes]:
        length, recent, since = 0, 0, time.monotonic()
        for part in self.stream:
            length, recent, now = length + len(part), recent + len(part), time.monotonic()
            if length > self.longest:
                raise TooLong
            if now - since > PATIENCE_SECONDS:
                if recent < SLOWEST_BYTES_PER_SECOND * (now - since):
                    raise httpx2.ReadTimeout(f"fewer than {SLOWEST_BYTES_PER_SECOND} bytes per second")
                recent, since = 0, now
            yield part

    def close(self) -> None:
        self.stream.close()
