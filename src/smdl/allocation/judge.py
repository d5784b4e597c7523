"""All scores on one checkpoint and quantizer: the same solver, the same budgets, blocks that no score has seen."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from smdl.allocation.bench import Bench, feasible, whole
from smdl.allocation.divergence import Outcome, Reference
from smdl.allocation.registry import SCORES
from smdl.allocation.score import Evidence
from smdl.allocation.search import Choice, Objective, evolve, greedy
from smdl.allocation.solver import Frontier, solve

GREEDY, EVOLUTIONARY = "greedy", "evolutionary"
WHOLE_MODEL = "search on the loss of the whole model"


@dataclass
class Judged:
    """Rows of the tables ``frontier``, ``scores`` and ``allocations``, without the columns that name the job."""

    frontier: list[dict[str, Any]] = field(default_factory=list)
    scores: list[dict[str, Any]] = field(default_factory=list)
    allocations: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Judge:
    """Evaluates allocations once each: on ``evaluation`` blocks, and on those that scores saw."""

    bench: Bench
    evaluation: Reference
    seen: Reference
    _known: dict[Choice, tuple[Outcome, float]] = field(default_factory=dict)

    def outcome(self, choice: Choice) -> tuple[Outcome, float]:
        """Losses and divergences on the evaluation blocks, and the mean rise of the loss (nats) on the others."""
        if choice not in self._known:
            with self.bench.holding(whole(choice)) as model:
                rise = self.seen.compare(model).losses.mean() - self.seen.losses.mean()
                self._known[choice] = self.evaluation.compare(model), float(rise)
        return self._known[choice]


def judge(evidence: Evidence, evaluation: Reference, search: Reference) -> Judged:
    """Every score and both searches at every budget that the model can keep to.

    ``evaluation`` blocks judge; ``search`` blocks are those on which the searches compare. Regret is against the search
    that is better on its own blocks.
    """
    bench, settings = evidence.bench, evidence.settings
    budgets = feasible(bench, settings.budgets)
    found, choices = Judged(), {}
    for name, frontier in _solved(evidence, found):
        for budget in budgets:
            choices[name, budget] = tuple(int(option) for option in frontier.within(bench.budget(budget)))
    isolated = evidence.measured("delta_loss")
    best = _searched(evidence, search, isolated, choices, found)
    judge = Judge(bench, evaluation, evidence.reference)
    for (name, budget), choice in choices.items():
        found.frontier.append({"score": name, "budget": budget, **_row(judge, choice, best[budget], isolated)})
        found.allocations += [
            {"score": name, "budget": budget, "tensor": tensor, "bits": bench.bits[option]}
            for tensor, option in zip(bench.names, choice, strict=True)
        ]
    regret = pd.DataFrame(found.frontier).groupby("score")["regret"].mean()
    for row in found.scores:
        row["regret"] = regret[row["score"]]
    return found


def _solved(evidence: Evidence, found: Judged) -> Iterator[tuple[str, Frontier]]:
    """Every score with its frontier; what it cost goes to ``found``."""
    for name, score in SCORES.items():
        evidence.passes, evidence.seconds, started = 0.0, 0.0, time.monotonic()
        frontier = solve(score().damages(evidence), evidence.bench.sizes)
        seconds = time.monotonic() - started + evidence.seconds
        found.scores.append({"score": name, "passes": evidence.passes, "seconds": seconds, "source": score.source})
        yield name, frontier


def _searched(
    evidence: Evidence,
    search: Reference,
    isolated: np.ndarray,
    choices: dict[tuple[str, float], Choice],
    found: Judged,
) -> dict[float, Choice]:
    """For every budget the better of both searches; their allocations go to ``choices``, what they cost to ``found``.

    The evolutionary search begins with what all scores and the greedy one chose.
    """
    bench, its = evidence.bench, evidence.settings.search
    budgets = sorted({budget for _, budget in choices})
    started, objective = time.monotonic(), Objective(bench, search)
    down = greedy(objective, budgets, isolated, its.candidates)
    found.scores.append(_cost(GREEDY, evidence, search, objective.evaluations, started))
    choices.update({(GREEDY, budget): choice for budget, choice in down.items()})
    started, evaluations, best = time.monotonic(), 0, {}
    for number, budget in enumerate(budgets):
        objective = Objective(bench, search)
        starts = {choice for (_, own), choice in choices.items() if own == budget}
        choices[EVOLUTIONARY, budget] = evolve(objective, budget, starts, its, (evidence.seed, number))
        best[budget] = min((choices[name, budget] for name in (GREEDY, EVOLUTIONARY)), key=objective)
        evaluations += objective.evaluations
    found.scores.append(_cost(EVOLUTIONARY, evidence, search, evaluations, started))
    return best


def _cost(name: str, evidence: Evidence, search: Reference, evaluations: int, started: float) -> dict[str, Any]:
    passes = evaluations * len(search.blocks) / len(evidence.reference.blocks)
    return {"score": name, "passes": passes, "seconds": time.monotonic() - started, "source": WHOLE_MODEL}


def _row(judge: Judge, choice: Choice, best: Choice, isolated: np.ndarray) -> dict[str, Any]:
    own, together = judge.outcome(choice)
    other, _ = judge.outcome(best)
    rise, regret = own.losses - judge.evaluation.losses, own.losses - other.losses
    return {
        "effective_bits": judge.bench.effective(choice),
        "loss": own.losses.mean(),
        "delta_loss": rise.mean(),
        "delta_loss_se": _error(rise),
        "kl": own.kl.mean(),
        "kl_se": _error(own.kl),
        "regret": regret.mean(),
        "regret_se": _error(regret),
        "regret_kl": (own.kl - other.kl).mean(),
        "isolated_loss": isolated[np.arange(len(choice)), choice].sum(),
        "together_loss": together,
    }


def _error(values: np.ndarray) -> float:
    """Standard error of the mean over the blocks."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))
