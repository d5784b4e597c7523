"""A study's finding in a few lines of text."""

import pandas as pd

ONE_RUN = (
    "Checkpoints of one training run are no independent sample: no interval and no p value can be computed from them."
)


CURVE = ["scheme", "variant", "epsilon"]


def summary(
    checkpoints: pd.DataFrame, llc: pd.DataFrame, regressions: pd.DataFrame, expectations: pd.DataFrame | None = None
) -> str:
    """The headline fits, what the LLC adds to its rivals, what was left out, and the verdicts on ``expectations``."""
    lines = [
        f"{len(checkpoints)} checkpoints of {checkpoints['model'].nunique()} models;"
        f" LLC status: {', '.join(f'{count} {status}' for status, count in llc['status'].value_counts().items())}"
    ]
    headlines = _headlines(regressions)
    if headlines.empty:
        lines += ["", "Of the headline no line is fitted: no model has a window, or none has a critical level in it."]
    for (setting, scheme, variant, epsilon), rows in headlines.groupby(["setting", *CURVE], sort=False):
        lines += ["", f"Critical level of {scheme} ({variant}) at {epsilon:g} nats against the LLC, setting {setting}:"]
        lines += [_line(row, width=rows["model"].str.len().max()) for _, row in rows.iterrows()]
    lines += ["", ONE_RUN]
    if expectations is not None:
        lines += ["", "What was expected:"]
        lines += [f"  {row.claim}: {row.verdict}. {row.says}" for row in verdicts(expectations).itertuples()]
    return "\n".join(lines)


def verdicts(expectations: pd.DataFrame) -> pd.DataFrame:
    """A row per claim: its name, its verdict and its words."""
    return expectations[["claim", "verdict", "says"]].drop_duplicates("claim")


def _headlines(regressions: pd.DataFrame) -> pd.DataFrame:
    """The rows of the headline's scheme over both windows, those of its setting first."""
    ours = regressions.loc[regressions["headline"], CURVE].drop_duplicates()
    first = regressions.loc[regressions["headline"], "setting"].unique()
    rows = regressions.merge(ours, on=CURVE)
    return rows.sort_values("setting", key=lambda names: ~names.isin(first), kind="stable")


def _line(row: pd.Series, width: int) -> str:
    left_out = f", {row['excluded']} left out" if row["excluded"] else ""
    return (
        f"  {row['model']:{width}}  steps {row['first']}-{row['last']} (n = {row['n']}{left_out}):"
        f"  slope {row['slope']:.4f},"
        f"  R2 {row['r2']:.3f}  (control alone {row['control_r2']:.3f}, sampling loss alone {row['loss_r2']:.3f};"
        f" of what the control leaves, the LLC explains {row['partial_r2_given_control']:.2f}),"
        f"  Spearman {row['spearman']:.3f}"
    )
