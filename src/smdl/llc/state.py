"""The saved state of an unfinished chain job: written while it runs, found again after any kind of end.

It lies beside the results and not among a job's outputs, since Snakemake deletes the outputs of failed jobs. Two files
take turns, each with a checksum, so that one torn or lost still leaves the one before it.
"""

import hashlib
import io
import json
import shutil
import time
from pathlib import Path
from typing import Any

import torch

from smdl.foundation.errors import StudyError
from smdl.foundation.files import replacing


class StateStore:
    """Saves and finds the state of one job under ``folder``.

    ``digest`` stands for everything that decides the job's numbers; ``interval`` (s) is the time between saves.
    """

    def __init__(self, folder: str | Path, digest: str, interval: float):
        self.folder = Path(folder)
        self.digest = digest
        self.interval = interval
        self._saves = 0
        self._saved_at = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the last save is longer ago than the interval."""
        return time.monotonic() - self._saved_at >= self.interval

    def save(self, state: dict[str, Any]) -> None:
        """Write ``state`` in the place of the older of the two files; raises StudyError where there is no room."""
        content = io.BytesIO()
        torch.save(state, content)
        body = content.getvalue()
        self._saves += 1
        header = {"digest": self.digest, "save": self._saves, "sha256": hashlib.sha256(body).hexdigest()}
        try:
            with replacing(self.folder / f"{self._saves % 2}.state") as temporary:
                temporary.write_bytes(json.dumps(header).encode() + b"\n" + body)
        except OSError as error:
            raise StudyError(
                f"{self.folder}: the chain's state cannot be saved ({error.strerror}): free some space and run again;"
                " what was saved before is kept"
            ) from error
        self._saved_at = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The newest whole state, or None; raises StudyError for a state that belongs to other settings."""
        found = [entry for path in sorted(self.folder.glob("[01].state")) if (entry := _read(path)) is not None]
        if not found:
            return None
        header, body = max(found, key=lambda entry: entry[0]["save"])
        if header["digest"] != self.digest:
            raise StudyError(
                f"{self.folder}: the saved state belongs to other settings, weights or token blocks"
                f" (digest {header['digest'][:12]}, now {self.digest[:12]}): go back to them, or remove the folder"
            )
        self._saves = header["save"]
        return torch.load(io.BytesIO(body), weights_only=True)

    def clear(self) -> None:
        """Remove the state: the job is done."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _read(path: Path) -> tuple[dict[str, Any], bytes] | None:
    """Header and body of a state file; None where it is torn. StudyError where it may not be read."""
    try:
        head, _, body = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise StudyError(
            f"{path}: the chain's state cannot be read ({error.strerror}): mend that, or remove it"
        ) from error
    try:
        header = json.loads(head)
    except (ValueError, RecursionError):
        return None
    whole = (
        isinstance(header, dict)
        and header.keys() >= {"digest", "save"}
        and header.get("sha256") == hashlib.sha256(body).hexdigest()
    )
    return (header, body) if whole else None
