"""Sampler settings over a grid: the estimate, its noise and its status at each, and the setting to use."""

import itertools
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from smdl.analysis.correlation import partial_r2
from smdl.foundation.errors import StudyError
from smdl.llc.chains import frame, localised_rows, rows_of
from smdl.llc.estimate import OK, estimate
from smdl.llc.sampler import Loss, Walker
from smdl.llc.settings import Gates, Grid, Memory, Sampler
from smdl.tables.study import CHECKPOINT, POSTERIOR

# Neighbours in lr whose estimates differ by less than this, or by less than twice the error, share a plateau.
FLAT = 0.1
UNSTABLE, DIVERGED = "unstable", "diverged"
ESTIMATES = ("llc", "llc_se", "r_hat", "control", "status", "reason")


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

    ``baseline`` holds the loss (nats) of every sampling sequence at w*, shape (loss.size,).
    """

    def __init__(
        self,
        loss: Loss,
        baseline: np.ndarray,
        settings: Sampler,
        chains: int,
        seed: int,
        memory: Memory | None = None,
    ):
        self.walker = Walker(loss, settings, memory=memory, control=True)
        self.baseline = baseline
        self.settings = settings
        self.chains = chains
        self.seed = seed
        self._localised: dict[float, list[list]] = {}

    def row(self, setting: Setting, gates: Gates) -> dict[str, Any]:
        """A row of the table ``sweep``; where there are no numbers, the status says why."""
        self.walker.settings = self.settings.changed(**setting._asdict())
        bound = self.walker.settings.stability
        if bound >= 2:
            return _none(setting, UNSTABLE, f"lr gamma / (2 eps_rms) is {bound:.3g}, and must be below 2")
        try:
            draws = frame(self._chains(setting.n_beta) + self._of_localisation(setting.gamma))
        except StudyError as error:
            return _none(setting, DIVERGED, str(error))
        found = estimate(draws if setting.gamma else draws[draws["kind"] == POSTERIOR], setting.n_beta, gates)
        return {**setting._asdict(), **{name: found[name] for name in ESTIMATES}}

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
    return {**setting._asdict(), **dict.fromkeys(ESTIMATES[:4], np.nan), "status": status, "reason": reason}


def summarise(sweep: pd.DataFrame, loss: pd.Series, critical: pd.Series) -> pd.DataFrame:
    """The rows of the table ``sweep_settings``: a row per model and setting, over the model's checkpoints.

    ``loss`` and ``critical``, the coordinate of the headline scheme's critical level, are indexed by (model, step).
    """
    rows = []
    for (model, *values), own in sweep.groupby(["model", *SETTING], sort=True):
        kept = own[own["status"] == OK]
        index = pd.MultiIndex.from_frame(kept[CHECKPOINT])
        given = np.column_stack([kept["control"], loss.reindex(index)])
        rows.append(
            {
                "model": model,
                **dict(zip(SETTING, values, strict=True)),
                "checkpoints": len(own),
                "ok": len(kept),
                "llc": own["llc"].mean(),
                "relative_se": (own["llc_se"] / own["llc"].abs()).mean(),
                "status": own["status"].mode().iloc[0],
                "added_r2": partial_r2(kept["llc"].to_numpy(), critical.reindex(index).to_numpy(), given),
            }
        )
    table = pd.DataFrame(rows)
    table["plateau"] = _plateau(table, sweep)
    table["recommended"] = _recommended(table)
    return table


def _plateau(table: pd.DataFrame, sweep: pd.DataFrame) -> list[bool]:
    """Whether all checkpoints are ok at a setting, and at the neighbours in lr, with much the same estimates."""
    estimates = {key: own.set_index("step") for key, own in sweep.groupby(["model", *SETTING])}
    steps = sorted(sweep["lr"].unique())

    def flat(row: pd.Series) -> bool:
        at = steps.index(row["lr"])
        here = estimates[(row["model"], *row[SETTING])]
        near = [estimates.get((row["model"], lr, row["n_beta"], row["gamma"])) for lr in steps[max(at - 1, 0) : at + 2]]
        return all(it is not None and _agree(here, it) for it in near)

    return [flat(row) for _, row in table.iterrows()]


def _agree(here: pd.DataFrame, there: pd.DataFrame) -> bool:
    difference = (here["llc"] - there["llc"]).abs()
    allowed = np.maximum(FLAT * here["llc"].abs(), 2 * np.hypot(here["llc_se"], there["llc_se"]))
    return bool((here["status"] == OK).all() and (there["status"] == OK).all() and (difference <= allowed).all())


def _recommended(table: pd.DataFrame) -> list[bool]:
    """The least noisy setting of each model's plateau."""
    best = table[table["plateau"]].groupby("model")["relative_se"].idxmin()
    return table.index.isin(best).tolist()


def block(settings: pd.DataFrame) -> str:
    """The recommended block for the config, with the reason, from the table ``sweep_settings``."""
    lines = ["# From the target sweep: to be laid under models.<name>.llc in the config."]
    for model, own in settings.groupby("model", sort=False):
        lines += [f"{model}:", *_block_of(own)]
    return "\n".join(lines) + "\n"


def _block_of(own: pd.DataFrame) -> list[str]:
    chosen = own[own["recommended"]]
    if chosen.empty:
        worst = own["status"].value_counts().to_dict()
        return [f"  # no setting is ok, with its neighbours in lr, at all checkpoints (statuses: {worst})", "  llc: {}"]
    row = chosen.iloc[0]
    reason = (
        f"  # of {len(own)} settings {int(own['plateau'].sum())} lie on the plateau (ok at all {row['checkpoints']}"
        f" checkpoints, the neighbours in lr too,\n  # with estimates within {FLAT:.0%} or two errors);"
        f" this one has the least relative error, {row['relative_se']:.1%}"
    )
    return [reason, f"  llc: {{lr: {row['lr']:g}, n_beta: {row['n_beta']:g}, gamma: {row['gamma']:g}}}"]
