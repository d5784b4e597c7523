"""From the jobs' tables to the study's: one row per checkpoint."""

from collections.abc import Mapping

import pandas as pd

from smdl.llc.estimate import estimate
from smdl.llc.settings import Gates, Sampler
from smdl.tables import empty
from smdl.tables.study import CHECKPOINT, LLC, parameters_of, weights_digest

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


def llc(
    draws: pd.DataFrame,
    checkpoints: pd.DataFrame,
    audit: pd.DataFrame,
    samplers: Mapping[str, Sampler],
    gates: Gates,
    burn_in_test: bool = False,
) -> pd.DataFrame:
    """The rows of the table ``llc``; ``samplers`` holds each model's sampler settings.

    With ``burn_in_test`` the columns draws and burn_in tell what the test of stationarity left.

    A checkpoint that the audit excludes has the status ``excluded``, with its estimate where there are draws.
    """
    loss = checkpoints.set_index(CHECKPOINT)["sampling_loss"]
    rows = []
    for (model, step), own in draws.groupby(CHECKPOINT, sort=False):
        sampler = samplers[model]
        found = estimate(own, sampler.n_beta, gates, burn_in_test)
        left_out = found.pop("left_out")
        rows.append(
            {
                "model": model,
                "step": step,
                **found,
                "loss": loss[model, step],
                "chains": own["chain"].nunique(),
                **{name: getattr(sampler, name) for name in SAMPLER_COLUMNS},
                "draws": sampler.draws - left_out,
                "burn_in": sampler.burn_in + left_out * sampler.steps_between_draws,
            }
        )
    return _with_exclusions(pd.DataFrame(rows) if rows else empty(LLC), audit)


def _with_exclusions(rows: pd.DataFrame, audit: pd.DataFrame) -> pd.DataFrame:
    """The rows in the audit's order, with the status of excluded checkpoints, those without draws among them."""
    rows = audit[[*CHECKPOINT, "excluded", "reason"]].rename(columns={"reason": "finding"}).merge(
        rows, on=CHECKPOINT, how="left"
    )  # fmt: skip
    rows["status"] = rows["status"].mask(rows["excluded"], "excluded")
    rows["reason"] = rows["reason"].mask(rows["excluded"], rows["finding"])
    return rows.drop(columns=["excluded", "finding"]).fillna({"chains": 0, "draws": 0, "burn_in": 0})
