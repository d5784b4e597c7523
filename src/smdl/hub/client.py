"""A checkpoint from a hub: one pinned commit, only the needed files, resumed when cut, checked byte for byte.

Large files go straight to the study's folder and not through huggingface_hub's cache, for two reasons: since version 2
its downloads begin again in every process, while a cut transfer of a 10 GB shard must go on where it stopped; and
weights are temporary here, while the cache would keep them. What the cache already holds is taken from it.
HF_ENDPOINT, HF_HOME, HF_TOKEN and HF_HUB_OFFLINE mean what they mean to huggingface_hub. What a hub answers is checked
(smdl.hub.checks) before anything is opened.
"""

import errno
import hashlib
import io
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pandas as pd
from huggingface_hub import HfApi, constants, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import (
    build_hf_headers,
    hf_raise_for_status,
    http_backoff,
    set_client_factory,
    validate_repo_id,
)
from tenacity import before_sleep_log, retry, retry_if_exception, stop_after_attempt, wait_random_exponential

from smdl.foundation.errors import StudyError, one_line, shown
from smdl.foundation.files import replacing
from smdl.hub import SOURCE, checks

logger = logging.getLogger(__name__)

ATTEMPTS = 6
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
PASSING_STATUS = {408, 429, 500, 502, 503, 504}

BLOB_LENGTH = 40

CONFIG = ("config.json",)
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
WEIGHTS = {
    "safetensors": re.compile(r"model(?:-([0-9]{1,5})-of-([0-9]{1,5}))?\.safetensors"),
    "bin": re.compile(r"pytorch_model(?:-([0-9]{1,5})-of-([0-9]{1,5}))?\.bin"),
}
SHARDS_TOLD = 5
INDEX = {"safetensors": "model.safetensors.index.json", "bin": "pytorch_model.bin.index.json"}

Result = TypeVar("Result")

set_client_factory(checks.client)


@dataclass(frozen=True)
class RemoteFile:
    """A file as the hub lists it: size in bytes, and the digest that its content must have.

    Large files have a ``sha256``; small ones only ``blob``, git's SHA-1 of the blob.
    """

    path: str
    size: int
    blob: str
    sha256: str | None = None

    @property
    def digest(self) -> str:
        return self.sha256 or self.blob


@dataclass(frozen=True)
class Revision:
    """What a branch, tag or commit of a repository means now: a commit and its files.

    There is none that was not checked: making one raises StudyError, in one line, where anything in it is amiss.
    """

    repo: str
    name: str
    commit: str
    files: tuple[RemoteFile, ...]
    kind: str = "model"

    def __post_init__(self) -> None:
        with explained(self.repo, self.name):
            validate_repo_id(self.repo)
        fault = checks.digest_fault(self.commit, checks.SHA1)
        if checks.SHA1.fullmatch(str(self.name)) and self.name != self.commit:
            fault = f"the commit {shown(self.commit)}, another than was asked for"
        faults = [fault] if fault else list(checks.listing_faults(self.files))
        if faults:
            more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
            raise StudyError(
                f"{self}: the listing has {faults[0]}{more}: such an answer is not trusted and nothing is fetched;"
                f" check HF_ENDPOINT, now {constants.ENDPOINT}"
            )

    def __str__(self) -> str:
        return f"{self.repo} at {self.name}"


class _Damaged(Exception):
    """The bytes that arrived are not those that the hub lists."""


class _NoHub(Exception):
    """An answer that no hub gives."""


def revision(repo: str, name: str, kind: str = "model") -> Revision:
    """Resolve the revision ``name`` of ``repo`` to its commit and list its files; ``kind`` is "model" or "dataset".

    Raises StudyError, in one line, where the repository or revision is missing, gated or cannot be reached.
    """
    with explained(repo, name):
        info = _asked(
            lambda: HfApi().repo_info(
                repo, revision=name, repo_type=kind, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT
            )
        )
        if info.siblings is None:
            raise _NoHub
    files = (RemoteFile(s.rfilename, s.size, s.blob_id, s.lfs.sha256 if s.lfs else None) for s in info.siblings)
    return Revision(repo, name, info.sha, tuple(files), kind)


def branches(repo: str) -> list[str]:
    """The names of all branches of a model repository; StudyError, in one line, where they cannot be fetched."""
    with explained(repo, "all branches"):
        names = [branch.name for branch in _asked(lambda: HfApi().list_repo_refs(repo)).branches]
    for name in names:
        if fault := checks.path_fault(name):
            raise StudyError(f"{repo}: lists the branch {shown(name)}, which {fault}: such an answer is not trusted")
    return names


def pinned(listed: pd.DataFrame, model: str, step: int) -> Revision:
    """The revision of a checkpoint at the commit, and with the files, that the table ``listing`` has for it.

    The table is checked as the hub's own answer was. Raises StudyError where it has no such checkpoint.
    """
    rows = listed[(listed["model"] == model) & (listed["step"] == step)]
    if not len(rows):
        raise StudyError(f"the table listing has no files of {model} at step {step}: delete it and run again")
    digests = ((row, isinstance(row.sha256, str) and len(row.sha256) > BLOB_LENGTH) for row in rows.itertuples())
    files = tuple(RemoteFile(row.path, row.size, row.sha256, row.sha256 if large else None) for row, large in digests)
    first = rows.iloc[0]
    return Revision(first["repo"], first["revision"], first["commit"], files)


def note_source(at: Revision, folder: str | Path) -> None:
    """Write beside the weights where they came from, for `source`."""
    with replacing(Path(folder) / SOURCE) as temporary:
        temporary.write_text(f"{at.repo}@{at.commit}\n")


def weight_files(at: Revision) -> list[RemoteFile]:
    """The files that a causal language model needs, its weights as safetensors where there are any, else as pickles.

    Raises StudyError where there is no config.json, there are no weights, or a shard of them is missing.
    """
    listed = {file.path: file for file in at.files}
    _require(at, CONFIG, listed)
    for form, pattern in WEIGHTS.items():
        shards = {path: match for path in listed if (match := pattern.fullmatch(path))}
        if not shards:
            continue
        whole = [path for path, match in shards.items() if match[1] is None]
        if whole:
            return [listed[name] for name in (*CONFIG, *whole)]
        total = max(int(match[2]) for match in shards.values())
        present = {int(match[1]) for match in shards.values()}
        missing = sorted(set(range(1, total + 1)) - present)
        if missing:
            more = ", ..." if len(missing) > SHARDS_TOLD else ""
            told = f"[{', '.join(map(str, missing[:SHARDS_TOLD]))}{more}]"
            raise StudyError(f"{at}: shards {told} of {total} ({form}) are missing on the hub: leave this step out")
        _require(at, (INDEX[form],), listed)
        return [listed[name] for name in (*CONFIG, INDEX[form], *sorted(shards))]
    raise StudyError(f"{at}: no weights there (model*.safetensors or pytorch_model*.bin): leave this step out")


def tokenizer_files(at: Revision) -> list[RemoteFile]:
    """The files of a fast tokenizer; StudyError where there is no tokenizer.json."""
    _require(at, TOKENIZER[:1], {file.path for file in at.files})
    return [file for file in at.files if file.path in TOKENIZER]


def check_downloaded(folder: str | Path) -> None:
    """Raise StudyError, in one line, where a downloaded config is no JSON object or an index leads elsewhere."""
    folder = Path(folder)
    checks.check_object(folder / CONFIG[0])
    for form, name in INDEX.items():
        if (folder / name).is_file():
            checks.check_index(folder / name, [p.name for p in folder.iterdir() if WEIGHTS[form].fullmatch(p.name)])


def download(at: Revision, files: list[RemoteFile], folder: str | Path, partial: str | Path) -> None:
    """Put ``files`` of the pinned commit into ``folder``, each with the size and digest that the hub lists.

    ``partial`` holds unfinished files between attempts and between runs; it is removed at the end. Raises StudyError
    where there is no space, the network fails for good, or what arrives is damaged every time.
    """
    folder, partial = Path(folder), Path(partial)
    _check_sizes(at, files)
    for place in (folder, partial):
        place.mkdir(parents=True, exist_ok=True)
    wanted = [file for file in files if not _take_from_cache(at, file, folder / file.path)]
    # Numbered, since two files may be of one content.
    unfinished = {file: partial / f"{number}.{file.digest}" for number, file in enumerate(wanted)}
    _check_space(at, unfinished, partial)
    for file, path in unfinished.items():
        with explained(at.repo, at.name, file.path):
            _persistently(lambda file=file, path=path: _fetch(at, file, path))
    # Moved only when all are there: a failed job's folder is deleted, and finished shards with it.
    for file, path in unfinished.items():
        (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        path.replace(folder / file.path)
    shutil.rmtree(partial)


def _fetch(at: Revision, file: RemoteFile, unfinished: Path) -> None:
    """Bring ``unfinished`` to the file's whole length and check it; a damaged one is removed."""
    url = hf_hub_url(at.repo, file.path, repo_type=at.kind, revision=at.commit)
    try:
        with _Limited(io.FileIO(unfinished, "ab"), file.size) as target, checks.at_most(file.size):
            have = target.tell()
            if have < file.size:
                http_get(url, target, resume_size=have, headers=build_hf_headers(), expected_size=file.size)
    except checks.TooLong:
        unfinished.unlink()
        raise _Damaged from None
    if not _intact(unfinished, file):
        unfinished.unlink()
        raise _Damaged


class _Limited(io.BufferedWriter):
    """A file that takes no more bytes than the hub lists for it, however many arrive."""

    def __init__(self, raw: io.FileIO, size: int):
        super().__init__(raw)
        self.size = size

    def write(self, part: bytes) -> int:
        if self.tell() + len(part) > self.size:
            raise checks.TooLong
        return super().write(part)


class RemoteContent(io.RawIOBase):
    """The content of a file on the hub, read in pieces as they are asked for; to be buffered.

    Its size is the checked listing's. Raises StudyError, in one line, where a piece cannot be fetched.
    """

    def __init__(self, at: Revision, file: RemoteFile):
        self.at, self.file, self.place = at, file, 0
        self.url = hf_hub_url(at.repo, file.path, repo_type=at.kind, revision=at.commit)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.file.size}[whence]
        return self.place

    def readinto(self, buffer: Any) -> int:
        end = min(self.place + len(buffer), self.file.size)
        if end <= self.place:
            return 0
        with explained(self.at.repo, self.at.name, self.file.path):
            piece = _persistently(lambda: self._piece(self.place, end))
        buffer[: len(piece)] = piece
        self.place = end
        return len(piece)

    def _piece(self, start: int, end: int) -> bytes:
        headers = {**build_hf_headers(), "Range": f"bytes={start}-{end - 1}"}
        answer = http_backoff(
            "GET", self.url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT, max_retries=0
        )
        hf_raise_for_status(answer)
        if len(answer.content) != end - start:
            raise _Damaged
        return answer.content


def _intact(path: Path, file: RemoteFile) -> bool:
    if path.stat().st_size != file.size:
        return False
    with path.open("rb") as content:
        if file.sha256:
            return hashlib.file_digest(content, "sha256").hexdigest() == file.sha256
        return hashlib.file_digest(content, lambda: hashlib.sha1(b"blob %d\0" % file.size)).hexdigest() == file.blob


def _take_from_cache(at: Revision, file: RemoteFile, target: Path) -> bool:
    """Link (or copy, between disks) a file that huggingface_hub's cache holds; whether it was there, intact."""
    cached = try_to_load_from_cache(at.repo, file.path, revision=at.commit, repo_type=at.kind)
    if not isinstance(cached, str) or not _intact(Path(cached), file):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(os.path.realpath(cached), target)
    except OSError:
        shutil.copyfile(cached, target)
    return True


def _check_sizes(at: Revision, files: list[RemoteFile]) -> None:
    for file in files:
        text = file.path.endswith(".json")
        largest = checks.LARGEST_TEXT if text else constants.MAX_HTTP_DOWNLOAD_SIZE
        if file.size > largest:
            raise StudyError(
                f"{at}: {file.path} is listed with {file.size / 1e9:.3g} GB, and such a file has at most"
                f" {largest / 1e9:.3g} GB: leave this step out"
            )


def _check_space(at: Revision, unfinished: dict[RemoteFile, Path], partial: Path) -> None:
    needed = sum(file.size - (path.stat().st_size if path.exists() else 0) for file, path in unfinished.items())
    free = shutil.disk_usage(partial).free
    if needed > free:
        raise StudyError(
            f"{at}: no space in {partial.parent}: {needed / 1e9:.3g} GB to download, {free / 1e9:.3g} GB free"
        )


def _require(at: Revision, names: tuple[str, ...], listed: set[str] | dict[str, RemoteFile]) -> None:
    for name in names:
        if name not in listed:
            raise StudyError(f"{at}: {name} is missing on the hub: leave this step out")


def _asked(call: Callable[[], Result]) -> Result:
    """What the hub's API answers; _NoHub where that cannot be understood (HTML, cut JSON, other fields)."""
    try:
        return _persistently(call)
    except HFValidationError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _NoHub from error


def _persistently(call: Callable[[], Result]) -> Result:
    """Call until it succeeds, with growing pauses, while what goes wrong may pass; the last error is raised."""
    return retry(
        retry=retry_if_exception(_may_pass),
        wait=wait_random_exponential(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS),
        stop=stop_after_attempt(ATTEMPTS),
        before_sleep=before_sleep_log(logger, logging.WARNING),
        reraise=True,
    )(call)()


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in PASSING_STATUS
    if isinstance(error, OfflineModeIsEnabled):
        return False
    # An OSError without a number is huggingface_hub's word for a file of the wrong length.
    incomplete = isinstance(error, OSError) and error.errno is None
    passing = isinstance(error, httpx2.TransportError) and not isinstance(error, httpx2.UnsupportedProtocol)
    return incomplete or passing or isinstance(error, _Damaged)


@contextmanager
def explained(repo: str, name: str, file: str = "") -> Iterator[None]:
    """Tell every failure of the hub as one line that says what would be right."""
    what = f"{repo} at {name}" + (f", {file}" if file else "")
    hub = constants.ENDPOINT
    try:
        yield
    except OfflineModeIsEnabled:
        raise StudyError(
            f"{what}: HF_HUB_OFFLINE is set, so nothing is downloaded: unset it where the network is"
        ) from None
    except GatedRepoError:
        raise StudyError(f"{what}: gated: ask for access at {hub}/{repo}, then set HF_TOKEN to your token") from None
    except RepositoryNotFoundError:
        raise StudyError(
            f"{what}: no such repository on {hub}, or a private one: check the name, or set HF_TOKEN"
        ) from None
    except RevisionNotFoundError:
        raise StudyError(f"{what}: no such branch, tag or commit on {hub}{_nearest(repo, name)}") from None
    except RemoteEntryNotFoundError:
        raise StudyError(f"{what}: the file is missing on {hub}: leave this step out") from None
    except HfHubHTTPError as error:
        raise StudyError(f"{what}: {_status(error)}") from None
    except httpx2.TooManyRedirects:
        raise StudyError(
            f"{what}: {hub} sends from one address to the next without an end: check HF_ENDPOINT"
        ) from None
    except httpx2.UnsupportedProtocol:
        raise StudyError(f"{what}: {hub} sends to an address that is not of the web: check HF_ENDPOINT") from None
    except httpx2.RequestError as error:
        reason = one_line(error) or type(error).__name__
        raise StudyError(f"{what}: no connection to {hub} in {ATTEMPTS} attempts ({reason})") from None
    except checks.TooLong:
        raise StudyError(f"{what}: {hub} sends more than was asked for, or without an end: check HF_ENDPOINT") from None
    except HFValidationError:
        raise StudyError(f"{shown(repo)} is no name of a repository: owner/name, as the hub shows it") from None
    except _NoHub:
        raise StudyError(
            f"{what}: what {hub} answers is not a hub's answer (a login page?): check HF_ENDPOINT"
        ) from None
    except _Damaged:
        raise StudyError(
            f"{what}: {ATTEMPTS} times what arrived was not what {hub} lists (size or digest):"
            " a proxy or the hub itself damages it; what was downloaded is removed"
        ) from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StudyError(f"{what}: no space left while writing; the download goes on once there is some") from None
        if error.errno is None:
            raise StudyError(f"{what}: cut off {ATTEMPTS} times; the next run goes on where this one stopped") from None
        raise


def _status(error: HfHubHTTPError) -> str:
    status, hub = error.response.status_code, constants.ENDPOINT
    if status in (401, 403):
        return f"{hub} refuses access ({status}): set HF_TOKEN to a token that may read it"
    if status in PASSING_STATUS:
        return f"{hub} answered {status} in {ATTEMPTS} attempts: try again later"
    return f"{hub} answered {status}"


def _nearest(repo: str, name: str) -> str:
    """The branches most like ``name``, where the hub lists them."""
    try:
        names = branches(repo)
    except StudyError:
        return ""
    nearest = get_close_matches(name, names, n=3, cutoff=0.5)
    return f"; it has {len(names)} branches" + (f", nearest {', '.join(nearest)}" if nearest else "")
