"""The tables of a paper as text: for the PDF, and for LaTeX."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from smdl.foundation.names import printable
from smdl.report.numbers import (
    CURVE,
    FITS,
    LEFT_OUT,
    MINUS,
    RIVALS,
    fit_cells,
    headline_fits,
    left_out,
    number,
    rival_cells,
    span,
)
from smdl.study.study import Study

CONFIDENCE = 0.95
INTERVAL = f"{100 * CONFIDENCE:g} % interval"
ALL_MODELS = "all models"
# What LaTeX takes for its own or does not know, with how it is written.
LATEX = {sign: rf"\{sign}" for sign in "&%$#_{}"} | {
    MINUS: "$-$",
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


@dataclass(frozen=True)
class Shown:
    """A table as it is printed: name, caption, and text in head and cells; the first ``words`` columns are words."""

    name: str
    caption: str
    words: int
    head: tuple[str, ...]
    rows: list[list[str]]

    def latex(self) -> str:
        """The table in LaTeX, for the packages booktabs and longtable."""
        form = "l" * self.words + "r" * (len(self.head) - self.words)
        lines = [_row(row) for row in self.rows]
        top = rf"\caption{{{_escaped(self.caption)}}}\label{{tab:{self.name}}}\\"
        head = [rf"\begin{{longtable}}{{{form}}}", top, r"\toprule", _row(self.head), r"\midrule", r"\endhead"]
        return "\n".join([*head, *lines, r"\bottomrule", r"\end{longtable}", ""])


def shown(study: Study, tables: dict[str, pd.DataFrame]) -> Iterator[Shown]:
    """The tables of the paper on ``study``, those without rows left out."""
    for table in (
        _models(study, tables["checkpoints"]),
        _verdicts(tables),
        _fits(study, tables["regressions"]),
        _rivals(study, tables["regressions"]),
        _across(study, tables["rulers"]),
        _points(tables["points"]),
        _left_out(tables["exclusions"]),
    ):
        if table.rows:
            yield table


def _models(study: Study, checkpoints: pd.DataFrame) -> Shown:
    rows = []
    for model, own in checkpoints.groupby("model", sort=False):
        window = getattr(study.models.get(model), "window", None)
        rows.append(
            [
                model,
                f"{own['parameters'].max():,}",
                str(len(own)),
                f"{own['step'].min()} to {own['step'].max()}",
                f"{window[0]} to {window[1]}" if window else "none",
                span(own["loss"]),
            ]
        )
    caption = (
        "The models: weights, checkpoints with their training steps, window of the regression, and the lowest and the"
        " highest loss on the evaluation blocks (nats per token)."
    )
    return Shown("models", caption, 1, ("model", "weights", "checkpoints", "steps", "window", "loss"), rows)


def _verdicts(tables: dict[str, pd.DataFrame]) -> Shown:
    expected = tables.get("expectations", pd.DataFrame())
    rows = [
        [
            row["claim"],
            row["family"],
            row["side"],
            row["statistic"],
            f"{number(row['value'])} {_between(row['low'], row['high'])}",
            row["threshold"],
            row["holds"],
            row["verdict"],
        ]
        for _, row in expected.iterrows()
    ]
    caption = (
        f"What was expected before the study was run: every condition with its value and its {INTERVAL} over resampled"
        " runs, and the verdict on the claim."
    )
    head = ("claim", "family", "side", "statistic", f"value [{INTERVAL}]", "condition", "holds", "verdict")
    return Shown("verdicts", caption, 4, head, rows)


def _fits(study: Study, regressions: pd.DataFrame) -> Shown:
    window, everything = headline_fits(regressions, study.compression.headline)
    rows = [fit_cells(row) for rows in (window, everything) for _, row in rows.iterrows()]
    caption = (
        "Critical level against LLC by least squares, over each model's window and over all its checkpoints. Beside a"
        " slope stands the standard error that the errors of its points make of it, without the scatter about the line;"
        " then the slope with errors in both variables. The bend is the square of the LLC, added to the line, over its"
        " error. The checkpoints of one training run are no independent sample: no interval of a slope and no p value"
        " can be computed from them."
    )
    return Shown("fits", caption, 2, FITS, rows)


def _rivals(study: Study, regressions: pd.DataFrame) -> Shown:
    window, _ = headline_fits(regressions, study.compression.headline)
    caption = (
        "What the LLC adds to its rivals, over the window: R² of the critical level on the LLC, on the control, on the"
        " loss of the sampling blocks, on the norm of the weights and on the logarithm of the training step; and the"
        " share of what the control and the loss leave unexplained that the LLC explains."
    )
    head = ("setting", "model", *RIVALS.values())
    return Shown("rivals", caption, 2, head, [rival_cells(row) for _, row in window.iterrows()])


def _across(study: Study, rulers: pd.DataFrame) -> Shown:
    """Rank correlations across models; there are intervals where there are models enough."""
    ours = (rulers[list(CURVE)] == pd.Series(dict(study.compression.headline))[list(CURVE)]).all(axis=1)
    rows = rulers[ours & (rulers["scope"] == ALL_MODELS)].dropna(subset=["spearman", "spearman_low"])
    caption = (
        "Rank correlation of every measure with the headline's critical level across models, with its"
        f" {INTERVAL} over resampled models and the p value from permuting them, corrected for the number of pairs."
    )
    cells = [
        [
            row["measure"],
            str(row["n"]),
            number(row["spearman"]),
            _between(row["spearman_low"], row["spearman_high"]),
            number(row["p"]),
            number(row["p_corrected"]),
        ]
        for _, row in rows.iterrows()
    ]
    return Shown("across", caption, 1, ("measure", "checkpoints", "Spearman", INTERVAL, "p", "corrected"), cells)


def _points(points: pd.DataFrame) -> Shown:
    headline = points[points["headline"]].head(1)
    ours = points.merge(headline[list(CURVE)])
    # A model's checkpoints at a setting together, the models as in the study, the headline's setting first.
    places = ours[["setting", "step"]].assign(
        model=pd.factorize(ours["model"])[0], other=~ours["setting"].isin(headline["setting"])
    )
    ours = ours.loc[places.sort_values(["model", "other", "setting", "step"]).index]
    unit = next(iter(headline["unit"].dropna()), "")
    rows = [
        [
            row["setting"],
            row["model"],
            str(row["step"]),
            *_estimate(row["llc"], row["llc_se"]),
            number(row["control"]),
            *_estimate(row["coordinate"], row["coordinate_se"]),
            "yes" if row["admitted"] and row["in_window"] else "no",
        ]
        for _, row in ours.iterrows()
    ]
    caption = (
        f"Every checkpoint of the headline: its LLC and its critical level{f' ({unit})' if unit else ''}, each with the"
        f" {INTERVAL} that its standard error gives, and the control. In the fit are the points of the window whose LLC"
        " is admitted and whose loss crosses the tolerance."
    )
    head = ("setting", "model", "step", "LLC", INTERVAL, "control", "critical level", INTERVAL, "in the fit")
    return Shown("points", caption, 2, head, rows)


def _left_out(exclusions: pd.DataFrame) -> Shown:
    rows = [
        [*cells, used]
        for used, own in (("no", exclusions[~exclusions["used"]]), ("yes", exclusions[exclusions["used"]]))
        for cells in left_out(own)
    ]
    caption = "Every estimate that is not plainly in order, and whether a regression uses it nevertheless."
    return Shown("exclusions", caption, 5, (*LEFT_OUT, "used"), rows)


def _estimate(value: float, error: float) -> tuple[str, str]:
    half = norm.ppf((1 + CONFIDENCE) / 2) * error
    return number(value), _between(value - half, value + half)


def _between(low: float, high: float) -> str:
    return "" if np.isnan(low) or np.isnan(high) else f"[{number(low)}, {number(high)}]"


def _row(cells: Any) -> str:
    return " & ".join(map(_escaped, cells)) + r" \\"


def _escaped(text: str) -> str:
    """``text`` within LaTeX: no sign of it is a command."""
    # A bracket at the start of a row would be read as the last row's option.
    safe = "".join(LATEX.get(sign, sign) for sign in printable(text))
    return f"{{{safe}}}" if safe.startswith("[") else safe
