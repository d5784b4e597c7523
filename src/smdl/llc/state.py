"""The saved state of an unfinished chain job: written while it runs, found again after any kind of end.

It lies beside the results and not among a job's outputs, since Snakemake deletes the outputs of failed jobs. Two files
take turns, each with a checksum, so that one torn or lost still leaves the one before it. What a finished job saved
stays until its draws are used: a job may fail after it has written them, as its time runs out or its Snakemake ends.

A file is a line of JSON, then the bytes of the vectors that it names, then the SHA-256 of all that, in hexadecimal.
Vectors go to the file and come back a part at a time: beside them nothing of their length is held.
"""

import hashlib
import json
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from smdl.foundation.errors import StudyError
from smdl.foundation.files import replacing
from smdl.llc.saved import header_of, remove

PART = 1 << 26
DIGEST = 2 * hashlib.sha256().digest_size


@dataclass(frozen=True)
class Saved:
    """A whole state file: what is ``plain``, and where the vectors lie, which ``restore`` reads."""

    path: Path
    header: dict[str, Any]
    start: int

    @property
    def plain(self) -> dict[str, Any]:
        """What was saved beside the vectors."""
        return self.header["values"]

    def restore(self, vectors: Mapping[str, Tensor]) -> None:
        """Fill ``vectors``, flat tensors on any device, with what was saved of them; KeyError for one that was not."""
        places, start = {}, self.start
        for name, length in self.header["vectors"]:
            places[name] = start
            start += length
        with self.path.open("rb") as file:
            for name, vector in vectors.items():
                file.seek(places[name])
                for part in _parts(vector):
                    raw = bytearray(part.numel() * part.element_size())
                    file.readinto(raw)
                    part.copy_(torch.frombuffer(raw, dtype=part.dtype))


class StateStore:
    """Saves and finds the state of one job under ``folder``.

    ``digest`` stands for everything that decides the job's numbers; ``interval`` (s) is the time between saves;
    ``grace`` (s) is how long before its end the job is warned, None where that is not known.
    """

    def __init__(self, folder: str | Path, digest: str, interval: float, grace: float | None = None):
        self.folder = Path(folder)
        self.digest = digest
        self.interval = interval
        self.grace = grace
        self._saves = 0
        self._saved_at = time.monotonic()
        self._timed = False

    @property
    def due(self) -> bool:
        """Whether the last save is longer ago than the interval."""
        return time.monotonic() - self._saved_at >= self.interval

    def save(
        self, values: Mapping[str, Any], vectors: Mapping[str, Tensor] | None = None, finished: bool = False
    ) -> None:
        """Write plain ``values`` and flat ``vectors`` in the place of the older of the two files.

        A ``finished`` state needs no other beside it. Raises StudyError where there is no room. The first save of
        vectors is timed: where it takes longer than the grace time, a line on stderr says so.
        """
        vectors, begun = vectors or {}, time.monotonic()
        header = {
            "digest": self.digest,
            "save": self._saves + 1,
            "finished": finished,
            "values": dict(values),
            "vectors": [(name, vector.numel() * vector.element_size()) for name, vector in vectors.items()],
        }
        try:
            with replacing(self.folder / f"{header['save'] % 2}.state") as temporary, temporary.open("wb") as file:
                _write(file, header, vectors)
        except OSError as error:
            raise StudyError(
                f"{self.folder}: the chain's state cannot be saved ({error.strerror}): free some space and run again;"
                " what was saved before is kept"
            ) from error
        self._saves, self._saved_at = header["save"], time.monotonic()
        if finished:
            (self.folder / f"{(self._saves + 1) % 2}.state").unlink(missing_ok=True)
        if vectors and not self._timed:
            self._timed = True
            size = sum(length for _, length in header["vectors"])
            if note := late(size, self._saved_at - begun, self.grace):
                print(f"warning: {self.folder}: {note}", file=sys.stderr)

    def load(self) -> Saved | None:
        """The newest whole state, or None; raises StudyError for a state that belongs to other settings.

        One that was finished with other settings is removed: nothing is lost that the draws do not hold.
        """
        headers = [(path, found) for path in sorted(self.folder.glob("[01].state")) if (found := header_of(path))]
        for path, (header, start) in sorted(headers, key=lambda entry: -entry[1][0]["save"]):
            if not _whole(path):
                continue
            if header["digest"] != self.digest:
                if header.get("finished"):
                    remove(self.folder)
                    return None
                raise StudyError(
                    f"{self.folder}: the saved state belongs to other settings, weights or token blocks"
                    f" (digest {header['digest'][:12]}, now {self.digest[:12]}): go back to them, or remove the folder"
                )
            self._saves = header["save"]
            return Saved(path, header, start)
        return None


def late(size: int, seconds: float, grace: float | None) -> str:
    """What is to be said of a save of ``size`` bytes that took ``seconds``; empty where it fits the ``grace`` time."""
    if grace is None or seconds <= grace:
        return ""
    return (
        f"saving the state took {seconds:.0f} s ({size / 1e9:.1f} GB), longer than the {grace:.0f} s between the"
        " warning of a job and its end: raise the number in --signal=TERM@ of the profile, or lower llc.save_every: a"
        " warned job goes on from the last save that was finished"
    )


def _write(file: BinaryIO, header: dict[str, Any], vectors: Mapping[str, Tensor]) -> None:
    """Write a state file; the checksum of a part is taken while the part is written."""
    checksum = hashlib.sha256()
    with ThreadPoolExecutor(1) as other:
        for part in _content(header, vectors):
            summed = other.submit(checksum.update, part)
            file.write(part)
            summed.result()
    file.write(checksum.hexdigest().encode())


def _content(header: dict[str, Any], vectors: Mapping[str, Tensor]) -> Iterator[Any]:
    yield json.dumps(header).encode() + b"\n"
    for vector in vectors.values():
        for part in _parts(vector):
            yield part.detach().cpu().view(torch.uint8).numpy()


def _parts(vector: Tensor) -> Iterator[Tensor]:
    return iter(vector.split(PART // vector.element_size()))


def _whole(path: Path) -> bool:
    """Whether a state file ends with the checksum of what is before it."""
    checksum, left = hashlib.sha256(), path.stat().st_size - DIGEST
    if left < 0:
        return False
    with path.open("rb") as file:
        while left:
            part = file.read(min(PART, left))
            if not part:
                return False
            checksum.update(part)
            left -= len(part)
        return file.read() == checksum.hexdigest().encode()
