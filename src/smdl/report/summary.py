"""A study's finding in a few lines of text."""

import pandas as pd

ONE_RUN = (
    "Checkpoints of one training run are no independent sample: no interval and no p value can be computed from them."
)


def summary(checkpoints: pd.DataFrame, llc: pd.DataFrame, regressions: pd.DataFrame) -> str:
    """The headline fits, what the LLC adds to its rivals, and what was left out."""
    lines = [
        f"{len(checkpoints)} checkpoints of {checkpoints['model'].nunique()} models;"
        f" LLC status: {', '.join(f'{count} {status}' for status, count in llc['status'].value_counts().items())}"
    ]
    headlines = _headlines(regressions)
    if headlines.empty:
        lines += ["", "Of the headline no line is fitted: no model has a window, or none has a critical level in it."]
    for (scheme, variant, epsilon), rows in headlines.groupby(["scheme", "variant", "epsilon"]):
        lines += ["", f"Critical level of {scheme} ({variant}) at {epsilon:g} nats against the LLC:"]
        lines += [_line(row, width=rows["model"].str.len().max()) for _, row in rows.iterrows()]
    if len(lines) > 1:
        lines += ["", ONE_RUN]
    return "\n".join(lines)


def _headlines(regressions: pd.DataFrame) -> pd.DataFrame:
    """The headline's rows over both windows."""
    names = ["model", "scheme", "variant", "epsilon"]
    return regressions.merge(regressions.loc[regressions["headline"], names], on=names)


def _line(row: pd.Series, width: int) -> str:
    left_out = f", {row['excluded']} left out" if row["excluded"] else ""
    return (
        f"  {row['model']:{width}}  steps {row['first']}-{row['last']} (n = {row['n']}{left_out}):"
        f"  slope {row['slope']:.4f},"
        f"  R2 {row['r2']:.3f}  (control alone {row['control_r2']:.3f}, sampling loss alone {row['loss_r2']:.3f}),"
        f"  Spearman {row['spearman']:.3f}"
    )
