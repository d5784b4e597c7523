"""The setting to use, from a sweep, by rules that know nothing of compressibility.

A setting is fair where the LLC can differ from its control, in neighbourhoods of the size that the study asks about,
and where the sampler can be trusted. Every rule must hold at all checkpoints of a model.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from smdl.llc.estimate import OK
from smdl.sweep.estimates import SETTING
from smdl.tables.sweep import RULES

# The LLC is clearly below its control: at most this share of it, by two standard errors.
BELOW = 0.8
# The mean excess loss of the draws is of the order of the tolerances: within this factor of the least and the largest.
ORDER = 4
# At the next lower learning rate of the grid, no less than a quarter of it, the LLC is the same within this share, or
# within two standard errors.
ALIKE, LOWEST = 0.1, 1 / 4
R_HAT = 1.05
# lr G n_beta h / 2 along the stiffest direction: beyond 1 a step goes past w*.
STEP = 1.0
# Minibatches add no more than this share to the noise of a step.
TEMPERATURE = 0.1


def summarise(sweep: pd.DataFrame, tolerances: Sequence[float]) -> pd.DataFrame:
    """The rows of the table ``sweep_settings``: one per model and setting, with the rules that hold at all checkpoints.

    ``tolerances`` (nats per token) are those of the study.
    """
    judged = sweep.assign(**_rules(sweep, tolerances))
    rows = []
    for (model, *values), own in judged.groupby(["model", *SETTING], sort=True):
        held = own[list(RULES)].all()
        rows.append(
            {
                "model": model,
                **dict(zip(SETTING, values, strict=True)),
                "checkpoints": len(own),
                "llc": own["llc"].mean(),
                "of_control": (own["llc"] / own["control"]).mean(),
                "excess": own["excess"].mean(),
                "relative_se": (own["llc_minus_control_se"] / own["llc_minus_control"].abs()).mean(),
                "status": own["status"].mode().iloc[0],
                **held.to_dict(),
                "rules": int(held.sum()),
            }
        )
    table = pd.DataFrame(rows)
    fair = table[table["rules"] == len(RULES)]
    return table.assign(recommended=table.index.isin(fair.groupby("model")["relative_se"].idxmin()))


def _rules(sweep: pd.DataFrame, tolerances: Sequence[float]) -> dict[str, pd.Series]:
    """Whether each rule holds for each row of ``sweep``; what is not known does not hold."""
    above = sweep["llc_minus_control"] + 2 * sweep["llc_minus_control_se"]
    return {
        "ok": sweep["status"] == OK,
        "below_control": above <= (BELOW - 1) * sweep["control"],
        "of_order": sweep["excess"].between(min(tolerances) / ORDER, max(tolerances) * ORDER),
        "alike_at_lower_lr": _alike(sweep),
        "mixed": sweep["r_hat"] < R_HAT,
        "short_steps": sweep["step_at_stiffest"] <= STEP,
        "cold": sweep["noise_temperature"] <= TEMPERATURE,
    }


def _alike(sweep: pd.DataFrame) -> pd.Series:
    """Whether the LLC is much the same at the next lower learning rate of the grid; not known at the lowest."""
    rates = np.sort(sweep["lr"].unique())
    below = {rate: lower for lower, rate in itertools.pairwise(rates) if lower >= LOWEST * rate}
    names = ["model", "step", "n_beta", "gamma"]
    lower = sweep.assign(lr=sweep["lr"].map({lower: rate for rate, lower in below.items()})).dropna(subset=["lr"])
    both = sweep.merge(lower[[*names, "lr", "llc", "llc_se"]], on=[*names, "lr"], how="left", suffixes=("", "_lower"))
    allowed = np.maximum(ALIKE * both["llc"].abs(), 2 * np.hypot(both["llc_se"], both["llc_se_lower"]))
    return ((both["llc"] - both["llc_lower"]).abs() <= allowed).set_axis(sweep.index)


def block(settings: pd.DataFrame) -> str:
    """The named settings for the config, with the reason and the cost, from the table ``sweep_settings``."""
    lines = ["# From the target sweep, by rules that do not look at compressibility. To be named under llc.settings:"]
    lines.append("# one setting for all models where one holds for all, so that their LLCs may be compared.")
    for model, own in settings.groupby("model", sort=False):
        lines += _block_of(own, str(model))
    return "\n".join(lines) + "\n"


def _block_of(own: pd.DataFrame, model: str) -> list[str]:
    chosen = own[own["recommended"]]
    if chosen.empty:
        best = own.sort_values("rules", kind="stable").iloc[-1]
        failed = "; ".join(words for name, words in RULES.items() if not best[name])
        return [
            f"{model}:",
            f"  # no setting of {len(own)} holds all rules at all {best['checkpoints']} checkpoints; nearest is"
            f" lr {best['lr']:g}, n_beta {best['n_beta']:g}, gamma {best['gamma']:g}, without: {failed}",
            "  {}",
        ]
    row = chosen.iloc[0]
    return [
        f"{model}:",
        f"  # of {len(own)} settings {int((own['rules'] == len(RULES)).sum())} hold all rules at all"
        f" {row['checkpoints']} checkpoints; at this one the LLC is {row['of_control']:.2f} of its control, the excess"
        f" loss {row['excess']:.2g} nats,",
        f"  # and LLC minus control has the least relative error, {row['relative_se']:.1%}. The localisation forgets"
        f" its start in about 2 / (lr G gamma), at most {0.2 / (row['lr'] * row['gamma']):.0f} steps at eps_rms 0.1.",
        f"  fair: {{lr: {row['lr']:g}, n_beta: {row['n_beta']:g}, gamma: {row['gamma']:g}}}",
    ]
