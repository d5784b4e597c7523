"""Searches on the loss of the whole model: they see how matrices interact, which no sum of damages does."""

from collections.abc import Iterable, Sequence

import numpy as np

from smdl.allocation.bench import Bench, whole
from smdl.allocation.divergence import Reference
from smdl.allocation.settings import Search

Choice = tuple[int, ...]
# Draws of a change until one is found that was not tried yet.
ATTEMPTS = 50


class Objective:
    """The mean loss (nats) of an allocation on some blocks, evaluated once each; ``evaluations`` says how many were."""

    def __init__(self, bench: Bench, reference: Reference):
        self.bench = bench
        self.reference = reference
        self._known: dict[Choice, float] = {}

    @property
    def evaluations(self) -> int:
        """How many allocations were evaluated."""
        return len(self._known)

    def known(self, choice: Choice) -> bool:
        """Whether an allocation was evaluated."""
        return choice in self._known

    def __call__(self, choice: Choice) -> float:
        if choice not in self._known:
            with self.bench.holding(whole(choice)) as model:
                self._known[choice] = float(self.reference.compare(model).losses.mean())
        return self._known[choice]


def greedy(
    objective: Objective, budgets: Iterable[float], isolated: np.ndarray, candidates: int
) -> dict[float, Choice]:
    """For every budget (effective bits) the first allocation within it on the way down from the most bits.

    At each step one matrix loses a bit: the one whose loss of the whole model rises least per bit saved. Of all
    matrices as many as ``candidates`` are tried, those whose ``isolated`` damage (matrices, options) rises least.
    """
    bench = objective.bench
    choice: Choice = (len(bench.bits) - 1,) * len(bench.views)
    found: dict[float, Choice] = {}
    waiting = sorted(budgets, reverse=True)
    while waiting:
        while waiting and bench.effective(choice) <= waiting[0]:
            found[waiting.pop(0)] = choice
        steps = [place for place, option in enumerate(choice) if option > 0]
        if not waiting or not steps:
            break
        saved = {place: bench.sizes[place, choice[place]] - bench.sizes[place, choice[place] - 1] for place in steps}
        rises = {place: isolated[place, choice[place] - 1] - isolated[place, choice[place]] for place in steps}
        tried = sorted(steps, key=lambda place: rises[place] / saved[place])[:candidates]
        now = objective(choice)
        best = min(tried, key=lambda place: (objective(_moved(choice, place, -1)) - now) / saved[place])
        choice = _moved(choice, best, -1)
    return found


def evolve(
    objective: Objective, budget: float, starts: Iterable[Sequence[int]], settings: Search, seed: Sequence[int]
) -> Choice:
    """The allocation of least loss within ``budget`` (effective bits) after so many evaluations, ``starts`` included.

    Of all evaluated ones the best survive; one of them, drawn at random, is changed: one matrix loses a bit, and others
    in random order gain one each as long as the budget allows.
    """
    random = np.random.default_rng(list(seed))
    alive = sorted({tuple(int(option) for option in start) for start in starts}, key=objective)
    for _ in range(settings.evaluations - len(alive)):
        for _ in range(ATTEMPTS):
            parent = alive[random.integers(min(len(alive), settings.survivors))]
            child = _changed(objective.bench, parent, budget, random)
            if not objective.known(child):
                break
        objective(child)
        alive = sorted({*alive[: settings.survivors], child}, key=objective)
    return alive[0]


def _changed(bench: Bench, choice: Choice, budget: float, random: np.random.Generator) -> Choice:
    lower = [place for place, option in enumerate(choice) if option > 0]
    if lower:
        choice = _moved(choice, int(random.choice(lower)), -1)
    for place in random.permutation(len(choice)):
        if choice[place] + 1 < len(bench.bits):
            raised = _moved(choice, int(place), 1)
            if bench.effective(raised) <= budget:
                choice = raised
    return choice


def _moved(choice: Choice, place: int, by: int) -> Choice:
    return (*choice[:place], choice[place] + by, *choice[place + 1 :])
