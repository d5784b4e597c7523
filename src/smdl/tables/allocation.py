"""Bits of every matrix: what each costs alone, ladders, allocations by every score, and what becomes of the model."""

from smdl.tables import INTEGER, NUMBER, TEXT, Column, Table
from smdl.tables.study import MODEL, STEP

PUBLISHED, LADDER_KIND = "published", "ladder"
ALL_BUDGETS = "all"

QUANTIZER = Column("quantizer", TEXT, "scheme by which matrices are quantized")
SCORE = Column("score", TEXT, "what decided the bits: a score, or a search on the loss of the whole model")
TENSOR = Column("tensor", TEXT, "name of the matrix; parts of a fused one apart")
BITS = Column("bits", INTEGER, "bits of a weight, without scales", "bits")
BUDGET = Column(
    "budget", NUMBER, "bound on the bits of the whole model, scales and what stays dense too, a weight", "bits"
)

TENSOR_ERRORS = Table(
    "tensor_errors",
    "Every checkpoint with one matrix quantized and the others as they were, on the calibration blocks.",
    ("model", "step", "quantizer", "tensor", "bits"),
    (
        MODEL,
        STEP,
        QUANTIZER,
        TENSOR,
        Column("elements", INTEGER, "number of its weights"),
        BITS,
        Column("size", INTEGER, "bits of the matrix, scales too", "bits"),
        Column("relative_error", NUMBER, "squared error over the squared norm"),
        Column("delta_loss", NUMBER, "rise of the loss", "nats per token"),
        Column("delta_loss_se", NUMBER, "its standard error over the blocks", "nats per token"),
        Column("kl", NUMBER, "mean divergence of the predictions from those before", "nats per token"),
        Column("kl_median", NUMBER, "its median over tokens", "nats per token"),
        Column("kl_99", NUMBER, "its 99 % quantile over tokens", "nats per token"),
        Column("seconds", NUMBER, "what it took", "s"),
    ),
    gathered=True,
)

LADDER = Table(
    "ladder",
    "The LLC of every matrix alone, all others frozen: at the published setting, and on a ladder of n_beta.",
    ("model", "step", "tensor", "kind", "n_beta"),
    (
        MODEL,
        STEP,
        TENSOR,
        Column("kind", TEXT, f"{PUBLISHED} or {LADDER_KIND}; on the ladder the localisation is as wide as the weights"),
        Column("n_beta", NUMBER, "inverse temperature times sample size"),
        Column("gamma", NUMBER, "strength of the localisation"),
        Column("llc", NUMBER, "the restricted LLC"),
        Column("llc_se", NUMBER, "its standard error"),
        Column("bits", NUMBER, "code length down to the tolerance 1/n_beta; on the ladder only", "bits"),
        Column("bits_se", NUMBER, "its standard error", "bits"),
        Column("stiffness", NUMBER, "largest curvature of the loss, which set the size of the steps"),
        Column("passes", NUMBER, "what it took, in token blocks passed forward; one back counts as two"),
        Column("seconds", NUMBER, "and in seconds", "s"),
    ),
    gathered=True,
)

FRONTIER = Table(
    "frontier",
    "Every checkpoint at every budget by every score, judged on evaluation blocks that no score has seen.",
    ("model", "step", "quantizer", "score", "budget"),
    (
        MODEL,
        STEP,
        QUANTIZER,
        SCORE,
        BUDGET,
        Column("effective_bits", NUMBER, "bits of the whole model over its weights", "bits"),
        Column("loss", NUMBER, "loss of the whole model", "nats per token"),
        Column("delta_loss", NUMBER, "its rise", "nats per token"),
        Column("delta_loss_se", NUMBER, "standard error of the rise over blocks", "nats per token"),
        Column("kl", NUMBER, "mean divergence of the predictions from those before", "nats per token"),
        Column("kl_se", NUMBER, "its standard error over blocks", "nats per token"),
        Column("regret", NUMBER, "loss above that of the best search at the budget", "nats per token"),
        Column("regret_se", NUMBER, "its standard error over blocks, paired", "nats per token"),
        Column("regret_kl", NUMBER, "divergence above that of the best search", "nats per token"),
        Column("isolated_loss", NUMBER, "sum of the rises of its matrices alone, calibration blocks", "nats per token"),
        Column("together_loss", NUMBER, "rise with all of them at once, the same blocks", "nats per token"),
    ),
    gathered=True,
)

REGRET = Table(
    "regret",
    "How much worse than the best search each score is, over checkpoints.",
    ("quantizer", "score", "budget"),
    (
        QUANTIZER,
        SCORE,
        Column("budget", TEXT, f"the budget, or {ALL_BUDGETS}: the mean over them"),
        Column("regret", NUMBER, "mean loss above that of the best search", "nats per token"),
        Column("low", NUMBER, "lower end of its 95 % t interval over checkpoints", "nats per token"),
        Column("high", NUMBER, "upper end of that interval", "nats per token"),
        Column("blocks_se", NUMBER, "standard error that the evaluation blocks leave in it", "nats per token"),
        Column("worst", NUMBER, "the largest of any checkpoint and budget", "nats per token"),
        Column("checkpoints", INTEGER, "number of checkpoints"),
    ),
    gathered=True,
)

CLAIMS = Table(
    "claims",
    "What was claimed of the scores before their first full run, and what came out.",
    ("quantizer", "claim"),
    (
        QUANTIZER,
        Column("claim", TEXT, "a relation of the regrets of two scores"),
        Column("expected", TEXT, "verdict that was expected"),
        Column("estimate", NUMBER, "mean over checkpoints of the other's regret less the score's", "nats per token"),
        Column("low", NUMBER, "lower end of its 95 % t interval", "nats per token"),
        Column("high", NUMBER, "upper end of that interval", "nats per token"),
        Column("checkpoints", INTEGER, "number of checkpoints"),
        Column("verdict", TEXT, "confirmed, refuted or undecided"),
    ),
    gathered=True,
)

SCORES = Table(
    "scores",
    "What every score costs, and its mean regret, checkpoint by checkpoint.",
    ("model", "step", "quantizer", "score"),
    (
        MODEL,
        STEP,
        QUANTIZER,
        SCORE,
        Column("source", TEXT, "where its formula stands"),
        Column("passes", NUMBER, "what it takes, in forward passes over the calibration blocks; a gradient is three"),
        Column("seconds", NUMBER, "and in seconds, those of the tables that it reads too", "s"),
        Column("regret", NUMBER, "mean regret over the budgets", "nats per token"),
    ),
    gathered=True,
)

ALLOCATIONS = Table(
    "allocations",
    "The bits of every matrix, at every budget by every score.",
    ("model", "step", "quantizer", "score", "budget", "tensor"),
    (MODEL, STEP, QUANTIZER, SCORE, BUDGET, TENSOR, BITS),
    gathered=True,
)
