"""What the statistics of a population are computed from: checkpoints, outcomes, predictors, levels of factors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from smdl.compression.registry import SCHEMES
from smdl.tables.population import OBSERVATIONS
from smdl.tables.study import CHECKPOINT

MOST_LEVELS = 6
"""A factor with more values than this is divided into quarters."""
# Of which measure a column of the table ``llc`` is the standard error.
ERRORS = {"llc_se": "llc", "control_se": "llc control", "llc_minus_control_se": "llc minus control"}


@dataclass(frozen=True)
class Population:
    """Observations, and by checkpoint (model, step) the predictors, their standard errors, the factors' levels."""

    rows: pd.DataFrame
    predictors: pd.DataFrame
    errors: pd.DataFrame
    levels: pd.DataFrame


def observations(
    design: pd.DataFrame,
    points: pd.DataFrame,
    covariates: pd.DataFrame,
    setting: str,
    families: Mapping[str, Sequence[str]],
) -> pd.DataFrame:
    """The rows of the table ``observations``: those of ``points`` that are admitted at the sampler's ``setting``.

    Left out are schemes of none of the ``families``, and branches of runs that did not reach the loss at which they
    were to begin: they are in no stratum of matched loss.
    """
    family_of = {scheme: family for family, schemes in families.items() for scheme in schemes}
    own = points[(points["setting"] == setting) & points["admitted"] & points["scheme"].isin(family_of)]
    rows = own.merge(design, on="model")
    missed = covariates.loc[(covariates["covariate"] == "reached") & (covariates["value"] == 0), "model"]
    rows = rows[~rows["model"].isin(missed)]
    direction = rows["scheme"].map({scheme: SCHEMES[scheme].axis.finer for scheme in family_of})
    rows = rows.assign(
        family=rows["scheme"].map(family_of),
        stratum=_strata(rows),
        incompressibility=rows["coordinate"] * direction.astype(float),
        incompressibility_se=rows["coordinate_se"],
    )
    return rows[[column.name for column in OBSERVATIONS.columns]]


def predictors(measures: pd.DataFrame, checkpoints: pd.DataFrame, covariates: pd.DataFrame) -> pd.DataFrame:
    """The predictors by checkpoint, a column each; a measure that was made with different settings is left out.

    Beside the measures: log d, log steps, and the loss on training blocks where it was taken.
    """
    alike = measures.groupby("measure")["made_with"].transform("nunique") == 1
    wide = measures[alike].pivot(index=CHECKPOINT, columns="measure", values="value")
    own = checkpoints.set_index(CHECKPOINT)
    trained = covariates.set_index(["covariate", *CHECKPOINT])["value"]
    of = {name: trained.get(name, pd.Series(dtype=float)).reindex(own.index) for name in ("steps", "training_loss")}
    beside = {
        "log d": np.log(own["parameters"]),
        "log steps": np.log(of["steps"].where(of["steps"] > 0)),
        "training loss": of["training_loss"],
    }
    beside = {name: values for name, values in beside.items() if values.notna().any()}
    return wide.join(pd.DataFrame(beside), how="outer")


def errors_of(llc: pd.DataFrame) -> pd.DataFrame:
    """The standard errors of the LLC and of its control at each setting, by checkpoint, named like the predictors."""
    wide = llc.pivot(index=CHECKPOINT, columns="setting", values=list(ERRORS))
    return wide.set_axis([f"{ERRORS[name]} ({setting})" for name, setting in wide.columns], axis=1)


def factor_levels(design: pd.DataFrame, covariates: pd.DataFrame) -> pd.DataFrame:
    """The number of each checkpoint's level in every factor of the design, by checkpoint.

    Values count as they are where there are at most ``MOST_LEVELS``, and by their quarter otherwise.
    """
    factors = sorted(set(design["factor"].dropna()) - {""})
    own = covariates[covariates["covariate"].isin(factors)]
    found = {}
    for factor, rows in own.groupby("covariate"):
        rows = rows.set_index(CHECKPOINT)
        value = rows["value"].where(rows["value"].notna(), rows["text"])
        numeric = rows["value"].notna().all()
        many = value.nunique() > MOST_LEVELS and numeric
        found[factor] = pd.qcut(rows["value"], 4, labels=False, duplicates="drop") if many else _numbered(value)
    index = pd.MultiIndex.from_frame(covariates[CHECKPOINT].drop_duplicates())
    return pd.DataFrame(found, index=index)


def _numbered(value: pd.Series) -> pd.Series:
    return pd.Series(np.unique(value.to_numpy(), return_inverse=True)[1], index=value.index)


def _strata(rows: pd.DataFrame) -> pd.Series:
    """Stage and target; without a target, stage and the place of the checkpoint among its model's, from 1 on."""
    place = rows.groupby("model")["step"].rank(method="dense").astype(int)
    names = [
        f"{stage} {target:g}" if np.isfinite(target) else f"{stage}, checkpoint {own}"
        for stage, target, own in zip(rows["stage"], rows["target"].astype(float), place, strict=True)
    ]
    return pd.Series(names, index=rows.index, dtype=object)
