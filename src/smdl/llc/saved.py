"""The plain part of a chain job's saved state, read without torch: what the chains say while they still run."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from smdl.foundation.errors import StudyError
from smdl.llc.diagnostics import r_hat
from smdl.llc.estimate import excess_losses
from smdl.tables.study import POSTERIOR

RECORDED = ("loss", "baseline", "excess_se", "distance")
LONGEST_HEADER = 1 << 26
# R-hat splits a chain in two, and a single chain is split once more before.
FEWEST = 8


@dataclass(frozen=True)
class SoFar:
    """A chain job's draws after burn-in as last saved: their number, n_beta times their mean excess loss, R-hat.

    The LLC is the one without control variate. NaN for what the draws do not tell yet; ``saved`` is the time of the
    save (s since the epoch).
    """

    draws: int
    llc: float
    r_hat: float
    saved: float


def frame(rows: list[list]) -> pd.DataFrame:
    """Rows as a table of draws, without the columns that name model and step."""
    return pd.DataFrame(rows, columns=["kind", "chain", "draw", *RECORDED])


def header_of(path: Path) -> tuple[dict[str, Any], int] | None:
    """The header of a state file and where the vectors begin; None where it is torn. StudyError where not readable."""
    try:
        with path.open("rb") as file:
            line = file.readline(LONGEST_HEADER)
    except OSError as error:
        raise StudyError(
            f"{path}: the chain's state cannot be read ({error.strerror}): mend that, or remove it"
        ) from error
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        return None
    kinds = {"digest": str, "save": int, "values": dict, "vectors": list}
    known = isinstance(header, dict) and all(isinstance(header.get(name), kind) for name, kind in kinds.items())
    return (header, len(line)) if known else None


def remove(folder: Path) -> None:
    """Remove a job's state: its draws are used, or it belongs to other settings."""
    shutil.rmtree(folder, ignore_errors=True)


def so_far(folder: Path, n_beta: float) -> SoFar | None:
    """What the newest save in ``folder`` tells of the chains; None where there is none, or the job ended meanwhile.

    Files are replaced and never changed, so that nothing read here disturbs the job; vectors are not read.
    """
    newest, saved = None, 0.0
    for path in folder.glob("[01].state"):
        try:
            found, time = header_of(path), path.stat().st_mtime
        except (StudyError, FileNotFoundError):
            continue
        if found and (newest is None or found[0]["save"] > newest["save"]):
            newest, saved = found[0], time
    if newest is None or not isinstance(newest["values"].get("rows"), list):
        return None
    draws = frame(newest["values"]["rows"])
    excess = excess_losses(draws[draws["draw"] >= 0], POSTERIOR)
    known = excess[~np.isnan(excess)]
    return SoFar(len(known), n_beta * known.mean() if len(known) else np.nan, _r_hat(excess), saved)


def _r_hat(excess: np.ndarray) -> float:
    """R-hat of the chains that have all draws; of the only one's halves where there is but one."""
    whole = excess[~np.isnan(excess).any(axis=1)]
    if len(whole) == 1:
        even = whole.shape[1] // 2
        whole = whole[0, : 2 * even].reshape(2, even)
    return r_hat(whole) if whole.size >= FEWEST and np.ptp(whole) else np.nan
