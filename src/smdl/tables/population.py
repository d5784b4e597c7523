"""The tables of a population of trained models: its design, what varies in it, and what its statistics say."""

from smdl.tables import INTEGER, NUMBER, TEXT, Column, Table
from smdl.tables.study import EPSILON, MODEL, SCHEME, STEP, VARIANT

RUN = Column("run", TEXT, "independently trained run that the model derives from: the unit of resampling")
POINT = Column("point", TEXT, "base point of the design that the run belongs to")
KIND = Column("kind", TEXT, "base: a point of the design; neighbour: one factor changed; replicate: another seed")
FACTOR_OF_NEIGHBOUR = Column(
    "factor", TEXT, "the one factor in which a neighbour differs from its base point; empty otherwise"
)
STAGE = Column("stage", TEXT, "stable: before the learning rate decays; decayed: a branch at rest; averaged")

DESIGN = Table(
    "design",
    "Every model of the population: the run that it derives from, and its place in the design.",
    ("model",),
    (
        MODEL,
        RUN,
        POINT,
        KIND,
        FACTOR_OF_NEIGHBOUR,
        STAGE,
        Column(
            "target",
            NUMBER,
            "evaluation loss at which a decayed checkpoint was branched off, its stratum of matched loss; empty"
            " otherwise",
            "nats per token",
        ),
    ),
    gathered=True,
)

FAMILY = Column("family", TEXT, "family of schemes, as in the expectations")

OBSERVATIONS = Table(
    "observations",
    "Every admitted checkpoint of the population beside each critical level: what all statistics are computed from,"
    " with the predictors of the table measures.",
    ("model", "step", "scheme", "variant", "epsilon"),
    (
        MODEL,
        STEP,
        RUN,
        POINT,
        KIND,
        FACTOR_OF_NEIGHBOUR,
        STAGE,
        Column(
            "stratum",
            TEXT,
            "checkpoints that are compared: stage and target; where there is none, stage and the checkpoint's place"
            " among those of its model",
        ),
        FAMILY,
        SCHEME,
        VARIANT,
        EPSILON,
        Column(
            "incompressibility",
            NUMBER,
            "critical coordinate, its sign such that more means less compressible: bits, or minus a fraction that is"
            " taken away",
        ),
        Column("incompressibility_se", NUMBER, "its standard error"),
    ),
    gathered=True,
)

PREDICTOR = Column(
    "predictor", TEXT, "measure that foretells; log d, log steps and training loss beside those of measures"
)
OUTCOME = Column("outcome", TEXT, "scheme and variant whose critical level is foretold; empty: mean over the family")
FACTOR = Column("factor", TEXT, "factor of the design; empty: over all factors")
N = Column("n", INTEGER, "checkpoints")
RUNS_COUNTED = Column("runs", INTEGER, "independently trained runs")
CASE = ("predictor", "stage", "family", "outcome")


def _with_interval(name: str, description: str, clusters: str) -> tuple[Column, ...]:
    """A statistic and the ends of its interval over resampled ``clusters``."""
    return (
        Column(name, NUMBER, description),
        Column(f"{name}_low", NUMBER, f"lower end of its 95 % interval over resampled {clusters}"),
        Column(f"{name}_high", NUMBER, "upper end of that interval"),
    )


ASSOCIATIONS = Table(
    "associations",
    "Rank correlation of every predictor with every critical level at the expectations' tolerance, within strata of"
    " matched loss, plain and with the rivals held fixed.",
    CASE,
    (
        PREDICTOR,
        STAGE,
        FAMILY,
        OUTCOME,
        N,
        RUNS_COUNTED,
        *_with_interval("tau", "Kendall's tau within strata", "runs"),
        *_with_interval("partial_tau", "Kendall's tau of what the rivals and the strata leave of both sides", "runs"),
        *_with_interval("partial_spearman", "Spearman's correlation of what they leave", "runs"),
        Column(
            "p",
            NUMBER,
            "two-sided p value of partial_tau, from whole runs exchanged within strata; empty for a family",
        ),
        Column("given", TEXT, "the rivals that are held fixed"),
    ),
    gathered=True,
)

FACTORS = Table(
    "factors",
    "Whether a predictor follows what one factor alone changes: over pairs of runs of a base point that differ in that"
    " factor only, at one stratum.",
    (*CASE, "factor"),
    (
        PREDICTOR,
        STAGE,
        FAMILY,
        OUTCOME,
        FACTOR,
        Column("pairs", INTEGER, "pairs of checkpoints; of a family, of all its outcomes"),
        Column("groups", INTEGER, "base runs with neighbours, at a stratum; of a family, of all its outcomes"),
        *_with_interval("granulated_tau", "mean over groups of Kendall's tau; over all factors: their mean", "points"),
        *_with_interval(
            "sign_error",
            "share of pairs in which predictor and outcome disagree, each by how sure its order is; over all factors:"
            " the worst one's",
            "points",
        ),
    ),
    gathered=True,
)

INFORMATION = Table(
    "information",
    "What the sign of a pair's difference in the predictor tells of that in the outcome once up to two factors are"
    " known: the least over all choices of factors.",
    CASE,
    (
        PREDICTOR,
        STAGE,
        FAMILY,
        OUTCOME,
        Column("pairs", INTEGER, "pairs of checkpoints of different runs, at one stratum, without a tie"),
        Column("information", NUMBER, "conditional mutual information over the outcome's conditional entropy"),
        Column(
            "chance", NUMBER, "its mean where the predictor's runs are exchanged: what small counts make of nothing"
        ),
        Column("known", TEXT, "the factors that leave the least"),
    ),
    gathered=True,
)

PREDICTIONS = Table(
    "predictions",
    "How much better every level of a factor is foretold from the other levels with the predictor beside its rivals.",
    (*CASE, "factor"),
    (
        PREDICTOR,
        STAGE,
        FAMILY,
        OUTCOME,
        FACTOR,
        Column("levels", INTEGER, "levels left out, one at a time"),
        Column("error_without", NUMBER, "mean squared error of rivals and strata, over the outcome's variance"),
        Column("error_with", NUMBER, "the same with the predictor"),
        *_with_interval("prediction_gain", "share by which the mean squared error is lower with the predictor", "runs"),
    ),
    gathered=True,
)

SLOPES = Table(
    "slopes",
    "Rise of the critical level with the predictor, in standard deviations of both, rivals and strata held fixed.",
    CASE,
    (
        PREDICTOR,
        STAGE,
        FAMILY,
        OUTCOME,
        N,
        Column("slope", NUMBER, "slope of a mixed model with a random intercept per base point"),
        Column("slope_se", NUMBER, "its standard error"),
        Column("p", NUMBER, "its two-sided p value (Wald)"),
        Column("point_share", NUMBER, "share of the unexplained variance that lies between base points"),
        Column("status", TEXT, "ok, not converged, no fit (the predictor adds nothing, or too few checkpoints)"),
        *_with_interval(
            "slope_with_errors",
            "slope with the errors of the predictor and of its rivals taken off; empty where errors are not known",
            "runs",
        ),
    ),
    gathered=True,
)

RELIABILITY = Table(
    "reliability",
    "How well the LLC agrees with itself: two estimates with independent random numbers.",
    ("stage",),
    (
        STAGE,
        N,
        RUNS_COUNTED,
        *_with_interval("reliability", "Pearson's correlation of both estimates within strata", "runs"),
    ),
    gathered=True,
)

EXPECTATIONS = Table(
    "expectations",
    "Every claim that was written down beforehand, and what the tables say of it.",
    ("claim", "family", "side", "statistic"),
    (
        Column("claim", TEXT, "name of the claim, in the file of expectations"),
        Column("family", TEXT, "family of schemes that the condition is judged in"),
        Column("side", TEXT, "confirmed, or refuted: what the condition speaks for"),
        Column("statistic", TEXT, "what is judged"),
        Column("value", NUMBER, "its value; empty where it could not be computed"),
        Column("low", NUMBER, "lower end of its 95 % interval"),
        Column("high", NUMBER, "upper end of that interval"),
        Column("threshold", TEXT, "the condition"),
        Column("holds", TEXT, "yes, no, or not known"),
        Column("verdict", TEXT, "confirmed, refuted or undecided: of the whole claim, over all its families"),
        Column("says", TEXT, "the claim in words"),
    ),
    gathered=True,
)
