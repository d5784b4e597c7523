"""From the jobs' tables to the study's: one row per checkpoint."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from smdl.llc.estimate import estimate
from smdl.llc.settings import Gates, Sampler
from smdl.tables import empty
from smdl.tables.restricted import LLC_RESTRICTED
from smdl.tables.study import CHECKPOINT, COVARIATES, LLC, SETTING, parameters_of, weights_digest

SAMPLER_COLUMNS = ("lr", "n_beta", "gamma")


def checkpoints(manifests: pd.DataFrame, losses: pd.DataFrame) -> pd.DataFrame:
    """The rows of the table ``checkpoints`` from those of ``manifest`` and ``losses``."""
    rows = []
    blocks = losses.groupby([*CHECKPOINT, "split"], sort=False)["loss"]
    mean, error = blocks.mean(), blocks.sem()
    for (model, step), tensors in parameters_of(manifests).groupby(CHECKPOINT, sort=False):
        rows.append(
            {
                "model": model,
                "step": step,
                "parameters": tensors["elements"].sum(),
                "dtype": ", ".join(sorted(tensors["dtype"].unique())),
                "sha256": weights_digest(tensors),
                "finite": tensors["finite"].all(),
                "loss": mean[model, step, "evaluation"],
                "loss_se": error[model, step, "evaluation"],
                "sampling_loss": mean[model, step, "sampling"],
                "norm": float((tensors["norm"] ** 2).sum() ** 0.5),
            }
        )
    return pd.DataFrame(rows)


def covariates(told: Sequence[tuple[str, int, Mapping[str, float | str]]], made: pd.DataFrame) -> pd.DataFrame:
    """The rows of the table ``covariates``: what the config ``told`` of each (model, step), and what jobs found."""
    rows = [
        {"model": model, "step": step, "covariate": name, "value": np.nan, "text": value}
        if isinstance(value, str)
        else {"model": model, "step": step, "covariate": name, "value": float(value), "text": ""}
        for model, step, own in told
        for name, value in own.items()
    ]
    columns = [column.name for column in COVARIATES.columns]
    return pd.concat([pd.DataFrame(rows, columns=columns), made], ignore_index=True)


def llc(
    draws: pd.DataFrame,
    checkpoints: pd.DataFrame,
    audit: pd.DataFrame,
    samplers: Mapping[tuple[str, str], Sampler],
    gates: Gates,
    burn_in_test: bool = False,
) -> pd.DataFrame:
    """The rows of the table ``llc``; ``samplers`` holds the sampler of each named setting and model.

    With ``burn_in_test`` the columns draws and burn_in tell what the test of stationarity left.

    A checkpoint that the audit excludes has the status ``excluded``, with its estimate where there are draws.
    """
    loss = checkpoints.set_index(CHECKPOINT)["sampling_loss"]
    rows = []
    for (model, step, setting), own in draws.groupby([*CHECKPOINT, SETTING.name], sort=False):
        sampler = samplers[setting, model]
        found = estimate(own, sampler.n_beta, gates, burn_in_test)
        left_out = found.pop("left_out")
        rows.append(
            {
                "model": model,
                "step": step,
                "setting": setting,
                **found,
                "loss": loss[model, step],
                "chains": own["chain"].nunique(),
                **{name: getattr(sampler, name) for name in SAMPLER_COLUMNS},
                "draws": sampler.draws - left_out,
                "burn_in": sampler.burn_in + left_out * sampler.steps_between_draws,
            }
        )
    settings = pd.DataFrame({"setting": list(dict.fromkeys(setting for setting, _ in samplers))})
    return _with_exclusions(pd.DataFrame(rows) if rows else empty(LLC), audit, settings)


def llc_restricted(
    draws: pd.DataFrame,
    checkpoints: pd.DataFrame,
    audit: pd.DataFrame,
    samplers: Mapping[tuple[str, str], Sampler],
    gates: Gates,
    burn_in_test: bool = False,
) -> pd.DataFrame:
    """The rows of the table ``llc_restricted``; those with draws alone."""
    parts = []
    for restriction, own in draws.groupby("restriction", sort=False):
        weights = own[[*CHECKPOINT, SETTING.name, "weights"]].drop_duplicates()
        rows = llc(own, checkpoints, audit, samplers, gates, burn_in_test)
        parts.append(rows.merge(weights, on=[*CHECKPOINT, SETTING.name]).assign(restriction=restriction))
    return pd.concat(parts, ignore_index=True) if parts else empty(LLC_RESTRICTED)


def _with_exclusions(rows: pd.DataFrame, audit: pd.DataFrame, settings: pd.DataFrame) -> pd.DataFrame:
    """The rows in the audit's order, with the status of excluded checkpoints, those without draws among them."""
    found = audit[[*CHECKPOINT, "excluded", "reason"]].rename(columns={"reason": "finding"})
    rows = found.merge(settings, how="cross").merge(rows, on=[*CHECKPOINT, SETTING.name], how="left")
    rows["status"] = rows["status"].mask(rows["excluded"], "excluded")
    rows["reason"] = rows["reason"].mask(rows["excluded"], rows["finding"])
    return rows.drop(columns=["excluded", "finding"]).fillna({"chains": 0, "draws": 0, "burn_in": 0})
