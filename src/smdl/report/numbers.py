"""What a study's tables say of its headline, as text: the front page of the report and the paper share it."""

import numpy as np
import pandas as pd

from smdl.compression.settings import Headline

MINUS = "\N{MINUS SIGN}"
CURVE = ("scheme", "variant", "epsilon")
FITS = ("setting", "model", "steps", "points", "left out", "slope", "with errors in both", "bend", "R²", "Spearman")
RIVALS = {
    "r2": "R² LLC",
    "control_r2": "R² control",
    "loss_r2": "R² loss",
    "norm_r2": "R² norm",
    "log_step_r2": "R² log step",
    "partial_r2_given_control": "added to control",
    "partial_r2_given_loss": "added to loss",
}
LEFT_OUT = ("model", "steps", "estimate", "status")


def number(value: float, form: str = "{:.3g}") -> str:
    """A number, in three figures or another ``form``; ``none`` where there is none.

    It has the sign for minus: a hyphen may be lost where text is copied out of a PDF.
    """
    return "none" if pd.isna(value) else form.format(value).replace("-", MINUS)


def counted(count: int, what: str) -> str:
    """So many of what there may be several of."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def span(values: pd.Series, form: str = "{:.3g}") -> str:
    """The least and the largest of ``values``; one number where these are the same."""
    low, high = number(values.min(), form), number(values.max(), form)
    return low if low == high else f"{low} to {high}"


def headline_fits(regressions: pd.DataFrame, headline: Headline) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of the headline's scheme over the config's window, those of its setting first, and over all steps."""
    ours = regressions[(regressions[list(CURVE)] == pd.Series(dict(headline))[list(CURVE)]).all(axis=1)]
    first = regressions.loc[regressions["headline"], "setting"].unique()
    ours = ours.sort_values("setting", key=lambda names: ~names.isin(first), kind="stable")
    return ours[ours["window"] == "config"], ours[ours["window"] == "all"]


def fit_cells(row: pd.Series) -> list[str]:
    """A row of ``regressions`` in the columns ``FITS``."""
    steps = f"{row['first']} to {row['last']}" + (" (all)" if row["window"] == "all" else "")
    return [
        row["setting"],
        row["model"],
        steps,
        str(row["n"]),
        str(row["excluded"]),
        f"{number(row['slope'])} ± {number(row['slope_se'])}",
        number(row["slope_deming"]),
        number(row["curvature"] / row["curvature_se"] if row["curvature_se"] else np.nan),
        number(row["r2"]),
        number(row["spearman"]),
    ]


def rival_cells(row: pd.Series) -> list[str]:
    """A row of ``regressions``: its setting, its model, and the columns ``RIVALS``."""
    return [row["setting"], row["model"], *(number(row[column]) for column in RIVALS)]


def verdict(fitted: pd.DataFrame) -> dict[str, str]:
    """How many of the lines ``fitted`` at one setting rise, and how the LLC stands beside its rivals."""
    rising = int((fitted["slope"] > 0).sum())
    return {
        "count": str(len(fitted)),
        "rising": str(rising),
        "falling": str(len(fitted) - rising),
        "explained": span(fitted["r2"]),
        "beyond_control": str(int((fitted["r2"] > fitted["control_r2"]).sum())),
        "beyond_loss": str(int((fitted["r2"] > fitted["loss_r2"]).sum())),
        "partial": span(fitted["partial_r2_given_control"]),
    }


def certainty(llc: pd.DataFrame) -> dict[str, str]:
    """How well the LLC is known at one setting, from its rows of ``llc``."""
    known = llc.dropna(subset=["saturation"])
    regimes = ", ".join(f"{count} {name}" for name, count in known["regime"].value_counts().items())
    return {
        "relative": f"{100 * (llc['llc_se'] / llc['llc'].abs()).median():.1f} %",
        "r_hat": span(llc["r_hat"]),
        "control": span(llc["control"]),
        "llc": span(llc["llc"]),
        "saturation": span(known["saturation"]),
        "regimes": regimes or "not known",
    }


def left_out(exclusions: pd.DataFrame) -> list[list[str]]:
    """Rows of ``exclusions`` in the columns ``LEFT_OUT``, checkpoints of a model with the same fault together."""
    columns = ["model", "what", "setting", "scheme", "variant", "epsilon", "status"]
    steps = exclusions.groupby(columns, dropna=False, sort=False)["step"].agg(lambda own: ", ".join(map(str, own)))
    return [[key[0], own, _estimate(*key[1:6]), key[6]] for key, own in steps.items()]


def _estimate(what: str, setting: str, scheme: str, variant: str, epsilon: float) -> str:
    if what == "llc":
        return f"LLC, setting {setting}"
    return f"{what}, {scheme} ({variant}), {epsilon:g} nats"
