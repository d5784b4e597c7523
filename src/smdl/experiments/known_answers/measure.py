"""What the sampler finds for a case of known learning coefficient."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from smdl.experiments.known_answers.cases import Case
from smdl.llc.diagnostics import diagnose
from smdl.llc.estimate import judge
from smdl.llc.sampler import Walker
from smdl.llc.settings import Gates, Memory, Sampler


def measure(
    family: str, cases: Iterable[Case], settings: Sampler, chains: int, seed: int, gates: Gates
) -> Iterator[dict[str, Any]]:
    """A row of the table ``known_answers`` for each case, all at the same settings.

    These losses are no nats per token: their scale is that of a draw, lambda / n_beta, and where that is above 1 the
    gate on the excess of a draw is in units of it.
    """
    for case in tqdm(list(cases), desc=family, unit="case", mininterval=5):
        excess = excess_losses(case, settings, chains, seed)
        found = diagnose(excess)
        estimate, se = settings.n_beta * excess.mean(), settings.n_beta * found.se
        scale = max(1.0, float(case.learning_coefficient) / settings.n_beta)
        own = gates.model_copy(update={"max_excess": scale * gates.max_excess})
        status, reason = judge(estimate, se, excess, found, own)
        yield {
            "family": family,
            "case": case.name,
            "parameters": case.parameters,
            "lambda_true": float(case.learning_coefficient),
            "multiplicity": case.multiplicity,
            "lambda_hat": estimate,
            "se": se,
            "r_hat": found.r_hat,
            "ess": found.ess,
            "status": status,
            "reason": reason,
        }


def excess_losses(
    case: Case, settings: Sampler, chains: int, seed: int, memory: Memory | None = None, dtype: str = "float32"
) -> np.ndarray:
    """Losses of the draws after burn-in of a stack of chains, shape (chains, draws); the loss at w* is zero.

    ``dtype`` is that of the weights.
    """
    loss = case.build(chains)
    for parameter in loss.parameters:
        parameter.data = parameter.data.to(getattr(torch, dtype))
    walker = Walker(loss, settings, chains, memory)
    draws = []
    for seen in walker.walk_stack(seed, range(chains), settings.n_beta):
        draw = settings.draw_of(seen.step)
        if draw is not None and draw >= 0:
            draws.append(seen.losses.float().mean(dim=1).numpy())
    return np.stack(draws, axis=1).astype(np.float64)
