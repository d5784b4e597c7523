"""From draws to the local learning coefficient: the estimate, its error, its control, and whether to trust it."""

from typing import Any

import numpy as np
import pandas as pd

from smdl.llc.diagnostics import Diagnostics, diagnose, standard_error
from smdl.llc.settings import Gates
from smdl.tables.study import CONTROL, LOCALISED, POSTERIOR

OK = "ok"
# The test of stationarity: the first tenth of the draws differs from their second half by no more than this many
# standard errors of the difference, on at least so many draws per chain.
STATIONARY, TESTED = 2, 20
OF_CONTROL = (
    *("control", "control_se", "llc_minus_control", "llc_minus_control_se"),
    *("control_chain", "control_chain_se", "control_weight"),
)
TRACE_BELOW, DIMENSION_ABOVE = 0.25, 0.75


def estimate(draws: pd.DataFrame, n_beta: float, gates: Gates, burn_in_test: bool = False) -> dict[str, Any]:
    """lambda_hat = n_beta (E[L_n(w)] - L_n(w*)) of one checkpoint with its control, diagnostics and status.

    ``draws`` are its rows of the table ``draws``. The expectation is over all chains after burn-in, each draw paired
    with the loss of its own minibatch at w* (Lau et al., arXiv:2308.12108, equation 14, with a paired baseline).
    ``burn_in_test`` leaves out further draws at the start, ``left_out`` of every chain.

    Where the chains have controls these are control variates: see ``adjusted``. Their status is judged by that.
    """
    left_out = stationary_from(excess_losses(draws[draws["draw"] >= 0], POSTERIOR)) if burn_in_test else 0
    kept = draws[(draws["draw"] >= left_out) | (draws["kind"] == LOCALISED)]
    excess = excess_losses(kept, POSTERIOR)
    found = diagnose(excess)
    plain = {"llc_plain": n_beta * excess.mean(), "llc_plain_se": n_beta * found.se}
    if (kept["kind"] == CONTROL).any():
        values = adjusted(excess, excess_losses(kept, CONTROL), excess_losses(kept, LOCALISED), n_beta)
    else:
        values = {"llc": plain["llc_plain"], "llc_se": plain["llc_plain_se"], **dict.fromkeys(OF_CONTROL, np.nan)}
    status, reason = judge(values["llc"], values["llc_se"], excess, found, gates)
    return {
        **values,
        **plain,
        "r_hat": found.r_hat,
        "ess": found.ess,
        "drift": found.drift,
        "spike": found.spike,
        "negative": found.negative,
        "distance": float(np.sqrt((kept.loc[kept["kind"] == POSTERIOR, "distance"] ** 2).mean())),
        **saturation(excess, chains_by_draws(kept[kept["kind"] == POSTERIOR], "excess_se"), n_beta),
        "status": status,
        "reason": reason,
        "left_out": left_out,
    }


def adjusted(excess: np.ndarray, beside: np.ndarray, localised: np.ndarray, n_beta: float) -> dict[str, float]:
    """The LLC with its control as control variate, the control itself, and their difference, with standard errors.

    ``excess`` and ``beside`` are the excess losses (nats) of the chains and of their controls, shape (chains, draws);
    ``localised`` those of independent pairs of draws of N(w*, 1/gamma), shape (chains, pairs). With E the mean of
    ``localised``, the LLC is n_beta times the mean of

        excess - weight (beside - E),

    where ``weight`` is the slope of excess on beside over the draws (Glasserman 2003, section 4.1), less as far as E is
    uncertain itself. Several chains are compared draw by draw, so that a common rise at their start makes no slope.
    What the control's chain has too much because its steps are not small, the chain has too much likewise, and it is
    taken off with it.
    """
    pairs = localised.size
    mean, error = localised.mean(), localised.std(ddof=1) / np.sqrt(pairs)
    axis = 0 if len(beside) > 1 else None
    away = beside - beside.mean(axis=axis)
    chain_error = standard_error(beside)
    weight = 0.0
    if away.any():
        slope = float((away * (excess - excess.mean(axis=axis))).sum() / (away**2).sum())
        weight = slope * chain_error**2 / (chain_error**2 + error**2)
    rest = excess - weight * beside
    rest_error = standard_error(rest)
    return {
        "llc": n_beta * (rest.mean() + weight * mean),
        "llc_se": n_beta * float(np.hypot(rest_error, weight * error)),
        "control": n_beta * mean,
        "control_se": n_beta * error,
        "llc_minus_control": n_beta * (rest.mean() - (1 - weight) * mean),
        "llc_minus_control_se": n_beta * float(np.hypot(rest_error, (1 - weight) * error)),
        "control_chain": n_beta * beside.mean(),
        "control_chain_se": n_beta * chain_error,
        "control_weight": weight,
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
    error = standard_error(last) * np.sqrt(1 + last.shape[1] / first.shape[1])
    return abs(first.mean() - last.mean()) <= STATIONARY * error


def excess_losses(draws: pd.DataFrame, kind: str) -> np.ndarray:
    """Loss minus paired baseline (nats) of the chains of one kind, shape (chains, draws)."""
    rows = draws[draws["kind"] == kind]
    return chains_by_draws(rows.assign(excess=rows["loss"] - rows["baseline"]), "excess")


def chains_by_draws(rows: pd.DataFrame, column: str) -> np.ndarray:
    """A column of draws of one kind, shape (chains, draws)."""
    return rows.pivot(index="chain", columns="draw", values=column).to_numpy()


def saturation(excess: np.ndarray, noise: np.ndarray, n_beta: float) -> dict[str, float | str]:
    """The LLC by the variance of the loss, its ratio to the LLC by the mean, standard errors, and what that says.

    ``excess`` holds the paired excess losses of the draws (nats) and ``noise`` their standard errors over the blocks of
    the minibatch, both of shape (chains, draws). By the law of total variance, the variance of L_n along the chain is
    that of ``excess`` less the mean square of ``noise``. For a quadratic loss with curvatures h and p = n_beta h /
    (n_beta h + gamma), n_beta^2 Var[L_n] is 1/2 sum p^2 where the LLC is 1/2 sum p; without localisation both are the
    learning coefficient, of a well of any order (Watanabe 2009, section 6.4: singular fluctuation).

    The error of the ratio is that of its linearisation, with the autocorrelation of the draws.
    """
    mean = excess.mean()
    squares = (excess - mean) ** 2 - noise**2
    variance = squares.mean() * excess.size / (excess.size - 1)
    ratio = n_beta * variance / mean
    known = bool(np.isfinite(squares).all()) and mean > 0
    return {
        "llc_variance": n_beta**2 * variance,
        "llc_variance_se": n_beta**2 * standard_error(squares) if known else np.nan,
        "saturation": ratio if known else np.nan,
        "saturation_se": standard_error((n_beta * squares - ratio * excess) / mean) if known else np.nan,
        "regime": regime(ratio) if known else "",
    }


def regime(saturation: float) -> str:
    """What an LLC of that saturation measures.

    With one curvature h saturation is p itself: below 1/4, n_beta h is less than gamma / 3, the LLC nearly
    proportional to the trace of the Hessian; above 3/4 it is more than 3 gamma, and the LLC counts dimensions.
    """
    if saturation < TRACE_BELOW:
        return "trace"
    return "dimension" if saturation > DIMENSION_ABOVE else "mixed"


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
