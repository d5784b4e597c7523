"""The tables of the known answers: estimates beside the learning coefficients known in closed form."""

from smdl.tables import INTEGER, NUMBER, TEXT, Column, Table

FAMILY = Column("family", TEXT, "family of models; its members share all settings")

KNOWN_ANSWERS = Table(
    "known_answers",
    "Learning coefficients, true and estimated by the sampler of the language models.",
    ("family", "case"),
    (
        FAMILY,
        Column("case", TEXT, "what sets the model apart in its family"),
        Column("parameters", INTEGER, "number of weights"),
        Column("lambda_true", NUMBER, "learning coefficient in closed form"),
        Column(
            "multiplicity", INTEGER, "its multiplicity m; a finite n_beta lowers the estimate by (m - 1)/log(n_beta)"
        ),
        Column("lambda_hat", NUMBER, "the estimate"),
        Column("se", NUMBER, "standard error of the estimate, of sampling alone"),
        Column("r_hat", NUMBER, "rank-normalised split R-hat over the chains"),
        Column("ess", NUMBER, "effective sample size", "draws"),
        Column("status", TEXT, "ok, or the gravest fault, as in the table llc"),
        Column("reason", TEXT, "the figure that decided the status"),
    ),
)

SUMMARY = Table(
    "known_answers_summary",
    "How near the estimates of a family come to the truth, whatever their status; the last row is over all families.",
    ("family",),
    (
        FAMILY,
        Column("cases", INTEGER, "number of cases"),
        Column("ok", INTEGER, "cases of status ok"),
        Column("median_relative_error", NUMBER, "median of |lambda_hat - lambda_true| / lambda_true"),
        Column("bias", NUMBER, "median of (lambda_hat - lambda_true) / lambda_true"),
        Column("within", NUMBER, "share of the cases within three standard errors or 20 %"),
    ),
)
