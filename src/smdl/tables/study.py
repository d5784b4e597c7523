"""The tables of a study, from token blocks to regressions."""

import numpy as np
import pandas as pd

from smdl.tables import FLAG, INTEGER, NUMBER, TEXT, Column, Table, digest_of

MODEL = Column("model", TEXT, "name of the model in the config")
STEP = Column("step", INTEGER, "training step of the checkpoint", "steps")
# What names a checkpoint in every table.
CHECKPOINT = [MODEL.name, STEP.name]
SETTING = Column("setting", TEXT, "named setting of the sampler")
SCHEME = Column("scheme", TEXT, "compression scheme")
VARIANT = Column("variant", TEXT, "variant of the scheme, as named in the config")
POSTERIOR, CONTROL, LOCALISED = "posterior", "control", "localised"
EPSILON = Column("epsilon", NUMBER, "tolerance: the rise of the loss that counts as critical", "nats")
COORDINATE = Column(
    "coordinate",
    NUMBER,
    "critical level as a coordinate, in its unit: log2 n_q (bits) of quantizers; mean over seeds, empty where there is"
    " none",
)
COORDINATE_SE = Column("coordinate_se", NUMBER, "its standard error, over blocks and over seeds")
UNIT = Column("unit", TEXT, "unit of the coordinate")
CRITICAL_SIZE = Column(
    "bits_per_parameter", NUMBER, "size of the model at the critical level, over its parameters", "bits"
)
IN_WINDOW = Column("in_window", FLAG, "whether the step lies in the model's regression window")

CORPUS = Table(
    "corpus",
    "Splits of the corpus: disjoint ranges of the shuffled token blocks.",
    ("split",),
    (
        Column(
            "split", TEXT, "sampling (LLC), evaluation (compression), calibration (schemes that look at data), training"
        ),
        Column("source", TEXT, "where the text came from; for a hub the dataset and its commit"),
        Column("first", INTEGER, "index of the split's first block"),
        Column("blocks", INTEGER, "number of blocks"),
        Column("context", INTEGER, "tokens per block", "tokens"),
        Column("vocabulary", INTEGER, "size of the vocabulary", "tokens"),
        Column("sha256", TEXT, "digest of the split's tokens"),
    ),
)

TRAINING = Table(
    "training",
    "Loss over the training of a model that the study trains itself.",
    ("model", "step"),
    (MODEL, STEP, Column("loss", NUMBER, "minibatch loss before the step's update", "nats per token")),
)

COVARIATES = Table(
    "covariates",
    "What distinguishes the checkpoints: how each was trained, and what the config says of its model.",
    ("model", "step", "covariate"),
    (
        MODEL,
        STEP,
        Column(
            "covariate", TEXT, "its name; of trained models the keys of the config, and learning_rate, steps, tokens"
        ),
        Column("value", NUMBER, "its value, where it is a number"),
        Column("text", TEXT, "its value, where it is a text; empty otherwise"),
    ),
    gathered=True,
)

MANIFEST = Table(
    "manifest",
    "The tensors of a checkpoint as stored.",
    ("model", "step", "tensor"),
    (
        MODEL,
        STEP,
        Column("source", TEXT, "repository and commit that the weights came from; empty for weights on this disk"),
        Column("tensor", TEXT, "name of the tensor"),
        Column("kind", TEXT, "parameter; copy - a tied one stored again; buffer - a mask, say. Only the first counts"),
        Column("parameter", TEXT, "the model's own name of the parameter; empty for a buffer"),
        Column("shape", TEXT, "shape, as JSON"),
        Column("dtype", TEXT, "type of the stored numbers"),
        Column("elements", INTEGER, "number of elements"),
        Column("sha256", TEXT, "digest of the tensor's bytes"),
        Column("finite", FLAG, "whether every element is finite"),
        Column("constant", FLAG, "whether all elements are equal"),
        Column("norm", NUMBER, "Euclidean norm"),
    ),
)

LOSSES = Table(
    "losses",
    "Loss of every sampling and evaluation block at the checkpoint itself: the paired baseline of all that follows.",
    ("model", "step", "split", "block"),
    (
        MODEL,
        STEP,
        Column("split", TEXT, "sampling or evaluation"),
        Column("block", INTEGER, "index of the block in its split"),
        Column("loss", NUMBER, "mean next-token cross-entropy of the block", "nats per token"),
    ),
)

CHECKPOINTS = Table(
    "checkpoints",
    "Every checkpoint of the study.",
    ("model", "step"),
    (
        MODEL,
        STEP,
        Column("parameters", INTEGER, "number of weights"),
        Column("dtype", TEXT, "type of the stored weights"),
        Column("sha256", TEXT, "digest over the digests of all tensors"),
        Column("finite", FLAG, "whether every weight is finite"),
        Column("loss", NUMBER, "mean loss of the evaluation blocks", "nats per token"),
        Column("loss_se", NUMBER, "standard error of the loss over blocks", "nats per token"),
        Column("sampling_loss", NUMBER, "mean loss of the sampling blocks, L_n(w*)", "nats per token"),
        Column("norm", NUMBER, "Euclidean norm of all weights"),
    ),
    gathered=True,
)

DRAWS = Table(
    "draws",
    "Every recorded step of the chains, burn-in included, and the draws beside them that make the control.",
    ("model", "step", "setting", "kind", "chain", "draw"),
    (
        MODEL,
        STEP,
        SETTING,
        Column(
            "kind",
            TEXT,
            "posterior: a chain; control: localisation alone with the chain's noise and preconditioner; localised: a"
            " pair of independent draws of N(w*, 1/gamma), on either side of w*",
        ),
        Column("chain", INTEGER, "number of the chain"),
        Column("draw", INTEGER, "index of the recorded step, negative in burn-in; of a pair, its number"),
        Column(
            "loss",
            NUMBER,
            "loss of the step's minibatch at the weights before the step; of a pair, the mean of both",
            "nats per token",
        ),
        Column("baseline", NUMBER, "loss of the same minibatch at w*", "nats per token"),
        Column(
            "excess_se",
            NUMBER,
            "standard error of loss minus baseline over the blocks of the minibatch",
            "nats per token",
        ),
        Column("distance", NUMBER, "Euclidean distance of a chain from w*"),
    ),
)

LLC = Table(
    "llc",
    "The local learning coefficient of every checkpoint at every setting, with its control and diagnostics.",
    ("model", "step", "setting"),
    (
        MODEL,
        STEP,
        SETTING,
        Column(
            "llc",
            NUMBER,
            "lambda_hat = n_beta (E[L_n(w)] - L_n(w*)), paired on the minibatches, with the control as control variate",
        ),
        Column("llc_se", NUMBER, "standard error, from autocorrelation within and spread between chains"),
        Column("llc_plain", NUMBER, "the same without control variate: n_beta times the mean over the chains' draws"),
        Column("llc_plain_se", NUMBER, "its standard error"),
        Column("r_hat", NUMBER, "rank-normalised split R-hat over the chains"),
        Column("ess", NUMBER, "bulk effective sample size over all chains", "draws"),
        Column(
            "drift", NUMBER, "second half minus first half of the draws, over the standard error of that difference"
        ),
        Column("spike", NUMBER, "largest draw's distance from the median, over the standard deviation of the draws"),
        Column("negative", NUMBER, "fraction of draws below the baseline"),
        Column("distance", NUMBER, "root mean square distance from w*"),
        Column(
            "control",
            NUMBER,
            "n_beta times the mean excess loss of N(w*, 1/gamma), from the pairs of draws: what llc would be if the"
            " chain did not feel the loss",
        ),
        Column("control_se", NUMBER, "its standard error"),
        Column(
            "control_chain",
            NUMBER,
            "the same from the controls of the chains: where it differs beyond its error, the steps are too large",
        ),
        Column("control_chain_se", NUMBER, "its standard error"),
        Column("control_weight", NUMBER, "weight of the control variate in llc"),
        Column(
            "llc_minus_control",
            NUMBER,
            "llc minus control: what the loss holds back; never above zero where the loss is quadratic",
        ),
        Column("llc_minus_control_se", NUMBER, "its standard error; the draws are paired"),
        Column("llc_variance", NUMBER, "n_beta^2 Var[L_n(w)] over the draws, minibatch noise taken off"),
        Column("llc_variance_se", NUMBER, "its standard error"),
        Column(
            "saturation",
            NUMBER,
            "llc_variance over llc: near 0 the LLC is a rescaled trace of the Hessian, near 1 it counts dimensions",
        ),
        Column("saturation_se", NUMBER, "its standard error"),
        Column("regime", TEXT, "trace (saturation below 1/4), mixed, or dimension (above 3/4)"),
        Column("loss", NUMBER, "L_n(w*) over the sampling blocks", "nats per token"),
        Column("status", TEXT, "ok, or why the estimate is not to be trusted"),
        Column("reason", TEXT, "the figure that decided the status"),
        Column("lr", NUMBER, "learning rate of the sampler"),
        Column("n_beta", NUMBER, "inverse temperature times sample size"),
        Column("gamma", NUMBER, "strength of the localisation"),
        Column("chains", INTEGER, "number of chains"),
        Column("draws", INTEGER, "draws per chain after burn-in"),
        Column("burn_in", INTEGER, "steps left out at the start of a chain, by setting or by the test of stationarity"),
        IN_WINDOW,
        Column("admitted", FLAG, "whether the status is one with which a checkpoint enters a regression"),
    ),
    gathered=True,
)

CURVES = Table(
    "curves",
    "Delta loss of every scheme at the levels that were evaluated.",
    ("model", "step", "scheme", "variant", "seed", "level"),
    (
        MODEL,
        STEP,
        SCHEME,
        VARIANT,
        Column("seed", INTEGER, "seed of the scheme"),
        Column("level", NUMBER, "level of the scheme: n_q of quantizers, say"),
        Column("coordinate", NUMBER, "the level as drawn and interpolated, in its unit: log2 n_q (bits) of quantizers"),
        UNIT,
        Column("delta_loss", NUMBER, "rise of the loss on the evaluation blocks", "nats per token"),
        Column(
            "delta_loss_se",
            NUMBER,
            "its standard error, paired over blocks; of a tuned scheme with the choice on these blocks",
            "nats per token",
        ),
        Column("blocks", INTEGER, "evaluation blocks it is a mean of: fewer where their confidence interval sufficed"),
        Column("tuned", NUMBER, "chosen value of the scheme's tuned parameter; empty where there is none"),
        Column("tuned_at_edge", FLAG, "whether it is the outermost value considered: a better one may lie beyond"),
        Column("bits_per_parameter", NUMBER, "size of the whole model over its parameters", "bits"),
        Column("evaluations", INTEGER, "passes over the evaluation blocks"),
    ),
    gathered=True,
)

CRITICAL = Table(
    "critical",
    "Where delta loss crosses each tolerance.",
    ("model", "step", "scheme", "variant", "epsilon"),
    (
        MODEL,
        STEP,
        SCHEME,
        VARIANT,
        EPSILON,
        COORDINATE,
        COORDINATE_SE,
        Column("seeds", INTEGER, "number of seeds"),
        UNIT,
        Column("status", TEXT, "ok, not monotone, tuned at edge, all below, all above"),
        CRITICAL_SIZE,
        Column("evaluations", INTEGER, "passes over the evaluation blocks"),
    ),
    gathered=True,
)

POINTS = Table(
    "points",
    "Critical level and LLC of every checkpoint side by side: the points of the regressions and of the figures.",
    ("model", "step", "setting", "scheme", "variant", "epsilon"),
    (
        MODEL,
        STEP,
        SETTING,
        SCHEME,
        VARIANT,
        EPSILON,
        COORDINATE,
        COORDINATE_SE,
        UNIT,
        CRITICAL_SIZE,
        Column("status", TEXT, "as in the table critical; empty where the checkpoint was not compressed"),
        Column("llc", NUMBER, "as in the table llc; empty where there is none"),
        Column("llc_se", NUMBER, "its standard error"),
        Column("control", NUMBER, "as in the table llc"),
        Column("loss", NUMBER, "L_n(w*) over the sampling blocks", "nats per token"),
        Column("norm", NUMBER, "Euclidean norm of all weights"),
        Column("llc_status", TEXT, "status of the LLC"),
        IN_WINDOW,
        Column("admitted", FLAG, "whether a regression may use the point: the LLC is admitted and there is a crossing"),
        Column("headline", FLAG, "whether setting, scheme, variant and tolerance are those of the study's headline"),
    ),
    gathered=True,
)

REGRESSIONS = Table(
    "regressions",
    "Critical level on LLC by least squares, a line per model and setting, over the config's window and over all"
    " checkpoints. The checkpoints of one training run are no independent sample: no interval and no p value can be"
    " computed from them.",
    ("model", "setting", "scheme", "variant", "epsilon", "window"),
    (
        MODEL,
        SETTING,
        SCHEME,
        VARIANT,
        EPSILON,
        Column("window", TEXT, "config, or all"),
        Column("first", INTEGER, "first step of the window", "steps"),
        Column("last", INTEGER, "last step of the window", "steps"),
        Column("headline", FLAG, "whether setting, scheme, variant, tolerance and window are those of the headline"),
        Column("n", INTEGER, "checkpoints in the fit"),
        Column(
            "excluded",
            INTEGER,
            "checkpoints of the window left out: no crossing, or an LLC whose status is not admitted",
        ),
        Column("slope", NUMBER, "rise of the critical level per unit of LLC"),
        Column("slope_se", NUMBER, "its standard error from the errors of the points alone, not from their scatter"),
        Column(
            "slope_deming",
            NUMBER,
            "slope with errors in both variables (Deming), their ratio that of the points' errors",
        ),
        Column("curvature", NUMBER, "coefficient of the square of the LLC where one is added to the line"),
        Column("curvature_se", NUMBER, "its standard error from the errors of the points alone"),
        Column("curvature_share", NUMBER, "share of what the line leaves unexplained that the square explains"),
        Column(
            "slope_low",
            NUMBER,
            "lower end of the slope's 95 % interval over training runs; empty where there is one run",
        ),
        Column("slope_high", NUMBER, "upper end of that interval"),
        Column("intercept", NUMBER, "critical level at LLC 0"),
        Column("r2", NUMBER, "coefficient of determination on the LLC"),
        Column("spearman", NUMBER, "Spearman's rank correlation of critical level and LLC"),
        Column("spearman_p", NUMBER, "its two-sided p value over training runs; empty where there is one run"),
        Column("control_r2", NUMBER, "coefficient of determination on the control alone"),
        Column("loss_r2", NUMBER, "coefficient of determination on the loss of the sampling blocks alone, L_n(w*)"),
        Column("norm_r2", NUMBER, "coefficient of determination on the norm of the weights alone"),
        Column("log_step_r2", NUMBER, "coefficient of determination on the logarithm of the training step alone"),
        Column(
            "partial_r2_given_control", NUMBER, "share of what the control leaves unexplained that the LLC explains"
        ),
        Column("partial_r2_given_loss", NUMBER, "share of what that loss leaves unexplained that the LLC explains"),
    ),
    gathered=True,
)

STUDY = (CORPUS, TRAINING, MANIFEST, LOSSES, CHECKPOINTS, DRAWS, LLC, CURVES, CRITICAL, POINTS, REGRESSIONS)


def parameters_of(manifest: pd.DataFrame) -> pd.DataFrame:
    """The rows of the table ``manifest`` that are parameters, each once; all that is ever compared or counted."""
    return manifest[manifest["kind"] == "parameter"]


def weights_digest(manifest: pd.DataFrame) -> str:
    """One digest for all parameters of a checkpoint, from its rows of the table ``manifest``."""
    own = parameters_of(manifest)
    return digest_of(sorted(zip(own["parameter"], own["sha256"], strict=True)))


def losses_of_split(losses: pd.DataFrame, split: str) -> np.ndarray:
    """Losses (nats) of a split's blocks in their order, shape (blocks,), from the table ``losses``."""
    return losses.loc[losses["split"] == split].sort_values("block")["loss"].to_numpy()
