"""Sampler settings over a grid: the estimate, its noise and its status at each."""

import itertools
from typing import Any, NamedTuple

import numpy as np

from smdl.foundation.errors import StudyError
from smdl.llc.chains import localised_rows, rows_of
from smdl.llc.estimate import estimate
from smdl.llc.sampler import Loss, Walker
from smdl.llc.saved import frame
from smdl.llc.settings import Gates, Grid, Memory, Sampler
from smdl.tables.study import POSTERIOR

UNSTABLE, DIVERGED = "unstable", "diverged"
ESTIMATES = ("llc", "llc_se", "r_hat", "control", "llc_minus_control", "llc_minus_control_se")


class Setting(NamedTuple):
    """One point of the grid."""

    lr: float
    n_beta: float
    gamma: float


SETTING = list(Setting._fields)


def settings_of(grid: Grid) -> list[Setting]:
    """All combinations; those of one lr and gamma stand together, since they share their control."""
    return [Setting(lr, n_beta, gamma) for lr, gamma, n_beta in itertools.product(grid.lr, grid.gamma, grid.n_beta)]


class Sweep:
    """Estimates of one checkpoint at many settings, all with the same minibatches and noise seeds.

    ``baseline`` holds the loss (nats) of every sampling sequence at w*, shape (loss.size,); ``stiffest`` is the largest
    eigenvalue of its Hessian there.
    """

    def __init__(
        self,
        loss: Loss,
        baseline: np.ndarray,
        settings: Sampler,
        chains: int,
        seed: int,
        stiffest: float,
        memory: Memory | None = None,
    ):
        self.walker = Walker(loss, settings, memory=memory, control=True)
        self.baseline = baseline
        self.settings = settings
        self.chains = chains
        self.seed = seed
        self.stiffest = stiffest
        self._localised: dict[float, list[list]] = {}

    def row(self, setting: Setting, gates: Gates) -> dict[str, Any]:
        """A row of the table ``sweep``; where there are no numbers, the status says why."""
        self.walker.settings = self.settings.changed(**setting._asdict())
        bound = self.walker.settings.stability
        if bound >= 2:
            return _none(setting, UNSTABLE, f"lr gamma / (2 eps_rms) is {bound:.3g}, and must be below 2")
        try:
            rows = self._chains(setting.n_beta)
            temperature = self.walker.noise_temperature(setting.n_beta)
            draws = frame(rows + self._of_localisation(setting.gamma))
        except StudyError as error:
            return _none(setting, DIVERGED, str(error))
        found = estimate(draws if setting.gamma else draws[draws["kind"] == POSTERIOR], setting.n_beta, gates)
        # The stiffest direction's step, at the largest preconditioner there can be.
        step = setting.lr * setting.n_beta * self.stiffest / (2 * self.settings.eps_rms)
        return {
            **setting._asdict(),
            **{name: found[name] for name in ESTIMATES},
            "excess": found["llc"] / setting.n_beta,
            "step_at_stiffest": step,
            "noise_temperature": temperature,
            "status": found["status"],
            "reason": found["reason"],
        }

    def _chains(self, n_beta: float) -> list[list]:
        rows = []
        for chain in range(self.chains):
            self.walker.reset()
            for seen in self.walker.walk(self.seed, chain, n_beta):
                rows += rows_of(seen, self.settings, chain, self.baseline)
        return rows

    def _of_localisation(self, gamma: float) -> list[list]:
        """Draws without a chain, which all settings of one gamma share; none without localisation."""
        if gamma and gamma not in self._localised:
            self._localised[gamma] = [
                row
                for chain in range(self.chains)
                for row in localised_rows(self.walker, self.seed, chain, self.baseline)
            ]
        return self._localised.get(gamma, [])


def _none(setting: Setting, status: str, reason: str) -> dict[str, Any]:
    unknown = dict.fromkeys((*ESTIMATES, "excess", "step_at_stiffest", "noise_temperature"), np.nan)
    return {**setting._asdict(), **unknown, "status": status, "reason": reason}
