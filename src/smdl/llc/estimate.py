"""From draws to the local learning coefficient: the estimate, its error, its control, and whether to trust it."""

from typing import Any

import numpy as np
import pandas as pd

from smdl.llc.diagnostics import Diagnostics, diagnose
from smdl.llc.settings import Gates
from smdl.tables.study import CONTROL, POSTERIOR

OK = "ok"
# The test of stationarity: the first tenth of the draws differs from their second half by no more than this many
# standard errors of the difference, on at least so many draws per chain.
STATIONARY, TESTED = 2, 20


def estimate(draws: pd.DataFrame, n_beta: float, gates: Gates, burn_in_test: bool = False) -> dict[str, Any]:
    """lambda_hat = n_beta (E[L_n(w)] - L_n(w*)) of one checkpoint with its control, diagnostics and status.

    ``draws`` are its rows of the table ``draws``. The expectation is over all chains after burn-in, each draw paired
    with the loss of its own minibatch at w* (Lau et al., arXiv:2308.12108, equation 14, with a paired baseline).
    ``burn_in_test`` leaves out further draws at the start, ``left_out`` of every chain, control chains included.
    """
    left_out = stationary_from(excess_losses(draws[draws["draw"] >= 0], POSTERIOR)) if burn_in_test else 0
    kept = draws[draws["draw"] >= left_out]
    excess = excess_losses(kept, POSTERIOR)
    found = diagnose(excess)
    llc = n_beta * excess.mean()
    control, control_se = _control(kept, n_beta)
    status, reason = judge(llc, n_beta * found.se, excess, found, gates)
    return {
        "llc": llc,
        "llc_se": n_beta * found.se,
        "r_hat": found.r_hat,
        "ess": found.ess,
        "drift": found.drift,
        "spike": found.spike,
        "negative": found.negative,
        "distance": float(np.sqrt((kept.loc[kept["kind"] == POSTERIOR, "distance"] ** 2).mean())),
        "control": control,
        "control_se": control_se,
        "llc_minus_control": llc - control,
        "status": status,
        "reason": reason,
        "left_out": left_out,
    }


def stationary_from(excess: np.ndarray) -> int:
    """The first draw from which on the draws are stationary, in tenths of them; half of them where no start will do.

    ``excess`` has shape (chains, draws). The test is Geweke's (1992), the first tenth against the second half, with the
    error of both taken from the second half: a start on the way up would hide behind its own autocorrelation.
    """
    draws = excess.shape[1]
    starts = [draws * tenths // 10 for tenths in range(6)] if draws >= TESTED else [0]
    return next((start for start in starts if _stationary(excess[:, start:])), starts[-1])


def _stationary(excess: np.ndarray) -> bool:
    draws = excess.shape[1]
    first, last = excess[:, : draws // 10], excess[:, draws // 2 :]
    error = diagnose(last).se * np.sqrt(1 + last.shape[1] / first.shape[1])
    return abs(first.mean() - last.mean()) <= STATIONARY * error


def excess_losses(draws: pd.DataFrame, kind: str) -> np.ndarray:
    """Loss minus paired baseline (nats) of the chains of one kind, shape (chains, draws)."""
    rows = draws[draws["kind"] == kind]
    table = rows.assign(excess=rows["loss"] - rows["baseline"]).pivot(index="chain", columns="draw", values="excess")
    return table.to_numpy()


def judge(llc: float, se: float, excess: np.ndarray, found: Diagnostics, gates: Gates) -> tuple[str, str]:
    """Status and the figure that decided it; the gravest fault is named."""
    faults = (
        ("diverged", excess.max() > gates.max_excess, f"a draw lies {excess.max():.3g} nats above the baseline"),
        ("negative", llc < 0, f"llc {llc:.3g}: the chain found lower losses than w* has"),
        ("not mixed", found.r_hat > gates.max_r_hat, f"R-hat {found.r_hat:.3f} above {gates.max_r_hat:g}"),
        ("drifting", abs(found.drift) > gates.max_drift, f"drift {found.drift:.2f} beyond {gates.max_drift:g}"),
        ("too noisy", se > gates.max_relative_se * abs(llc), f"standard error {se:.3g} of {llc:.3g}"),
    )
    return next(((status, reason) for status, failed, reason in faults if failed), (OK, ""))


def _control(draws: pd.DataFrame, n_beta: float) -> tuple[float, float]:
    if not (draws["kind"] == CONTROL).any():
        return np.nan, np.nan
    excess = excess_losses(draws, CONTROL)
    return n_beta * excess.mean(), n_beta * diagnose(excess).se
