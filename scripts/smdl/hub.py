"""A checkpoint from a hub: one pinned commit, only the needed files, resumed when cut, checked byte for byte.

Large files go straight to the study's folder and not through huggingface_hub's cache, for two reasons: since version 2
its downloads begin anew in every process, while a cut transfer of a 10 GB shard must go on where it stopped; and
weights are temporary here, while the cache would keep them. What the cache already holds is taken from it.
HF_ENDPOINT, HF_HOME, HF_TOKEN and HF_HUB_OFFLINE mean what they mean to huggingface_hub.
"""

import errno
import hashlib
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

import httpx2
import pandas as pd
from huggingface_hub import HfApi, constants, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers
from tenacity import before_sleep_log, retry, retry_if_exception, stop_after_attempt, wait_random_exponential

from smdl.errors import StudyError
from smdl.files import replacing
from smdl.models import SOURCE

logger = logging.getLogger(__name__)

ATTEMPTS = 6
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
PASSING_STATUS = {408, 429, 500, 502, 503, 504}

SHA256_LENGTH = 64

CONFIG = ("config.json",)
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
WEIGHTS = {
    "safetensors": re.compile(r"model(?:-(\d+)-of-(\d+))?\.safetensors"),
    "bin": re.compile(r"pytorch_model(?:-(\d+)-of-(\d+))?\.bin"),
}
INDEX = {"safetensors": "model.safetensors.index.json", "bin": "pytorch_model.bin.index.json"}

Result = TypeVar("Result")


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
    """What a branch, tag or commit of a repository means now: a commit and its files."""

    repo: str
    name: str
    commit: str
    files: tuple[RemoteFile, ...]
    kind: str = "model"

    def __str__(self) -> str:
        return f"{self.repo} at {self.name}"


class _Damaged(Exception):
    """The bytes that arrived are not those that the hub lists."""


def revision(repo: str, name: str, kind: str = "model") -> Revision:
    """Resolve the revision ``name`` of ``repo`` to its commit and list its files; ``kind`` is "model" or "dataset".

    Raises StudyError, in one line, where the repository or revision is missing, gated or cannot be reached.
    """
    with explained(repo, name):
        info = _persistently(
            lambda: HfApi().repo_info(
                repo, revision=name, repo_type=kind, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT
            )
        )
    files = (
        RemoteFile(s.rfilename, s.size or 0, s.blob_id or "", s.lfs.sha256 if s.lfs else None) for s in info.siblings
    )
    return Revision(repo, name, info.sha, tuple(files), kind)


def branches(repo: str) -> list[str]:
    """The names of all branches of a model repository; StudyError, in one line, where they cannot be had."""
    with explained(repo, "all branches"):
        return [branch.name for branch in _persistently(lambda: HfApi().list_repo_refs(repo)).branches]


def pinned(listed: pd.DataFrame, model: str, step: int) -> Revision:
    """The revision of a checkpoint at the commit, and with the files, that the table ``listing`` has for it."""
    rows = listed[(listed["model"] == model) & (listed["step"] == step)]
    files = tuple(
        RemoteFile(row.path, row.size, row.sha256, row.sha256 if len(row.sha256) == SHA256_LENGTH else None)
        for row in rows.itertuples()
    )
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
            raise StudyError(f"{at}: shards {missing} of {total} ({form}) are missing on the hub: leave this step out")
        _require(at, (INDEX[form],), listed)
        return [listed[name] for name in (*CONFIG, INDEX[form], *sorted(shards))]
    raise StudyError(f"{at}: no weights there (model*.safetensors or pytorch_model*.bin): leave this step out")


def tokenizer_files(at: Revision) -> list[RemoteFile]:
    """The files of a fast tokenizer; StudyError where there is no tokenizer.json."""
    _require(at, TOKENIZER[:1], {file.path for file in at.files})
    return [file for file in at.files if file.path in TOKENIZER]


def download(at: Revision, files: list[RemoteFile], folder: str | Path, partial: str | Path) -> None:
    """Put ``files`` of the pinned commit into ``folder``, each with the size and digest that the hub lists.

    ``partial`` holds unfinished files between attempts and between runs; it is removed at the end. Raises StudyError
    where there is no space, the network fails for good, or what arrives is damaged every time.
    """
    folder, partial = Path(folder), Path(partial)
    for place in (folder, partial):
        place.mkdir(parents=True, exist_ok=True)
    unfinished = {file: partial / file.digest for file in files if not _take_from_cache(at, file, folder / file.path)}
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
    with unfinished.open("ab") as target:
        have = target.tell()
        if have < file.size:
            http_get(url, target, resume_size=have, headers=build_hf_headers(), expected_size=file.size)
    if not _intact(unfinished, file):
        unfinished.unlink()
        raise _Damaged


def _intact(path: Path, file: RemoteFile) -> bool:
    if path.stat().st_size != file.size:
        return False
    with path.open("rb") as content:
        if file.sha256:
            return hashlib.file_digest(content, "sha256").hexdigest() == file.sha256
        return hashlib.sha1(b"blob %d\0" % file.size + content.read()).hexdigest() == file.blob


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
    return incomplete or isinstance(error, httpx2.TransportError | _Damaged)


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
    except httpx2.TransportError as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise StudyError(f"{what}: no connection to {hub} in {ATTEMPTS} attempts ({reason})") from None
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
        names = [branch.name for branch in HfApi().list_repo_refs(repo).branches]
    except (HfHubHTTPError, httpx2.TransportError):
        return ""
    nearest = get_close_matches(name, names, n=3, cutoff=0.5)
    return f"; it has {len(names)} branches" + (f", nearest {', '.join(nearest)}" if nearest else "")
