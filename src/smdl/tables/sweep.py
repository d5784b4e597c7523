"""The tables of the settings sweep."""

from smdl.tables import FLAG, INTEGER, NUMBER, TEXT, Column, Table
from smdl.tables.study import MODEL, STEP

LR = Column("lr", NUMBER, "learning rate of the sampler")
N_BETA = Column("n_beta", NUMBER, "inverse temperature times sample size")
GAMMA = Column("gamma", NUMBER, "strength of the localisation")

SWEEP = Table(
    "sweep",
    "The estimate of every checkpoint of the sweep at every setting, with the same minibatches and noise seeds.",
    ("model", "step", "lr", "n_beta", "gamma"),
    (
        MODEL,
        STEP,
        LR,
        N_BETA,
        GAMMA,
        Column("llc", NUMBER, "lambda_hat"),
        Column("llc_se", NUMBER, "its standard error"),
        Column("r_hat", NUMBER, "rank-normalised split R-hat over the chains"),
        Column("control", NUMBER, "n_beta times the mean excess loss of N(w*, 1/gamma)"),
        Column("status", TEXT, "as in the table llc; or unstable: not run, beyond the stability bound"),
        Column("reason", TEXT, "the figure that decided the status"),
    ),
)

SWEEP_SETTINGS = Table(
    "sweep_settings",
    "Every setting of the sweep over the checkpoints of a model.",
    ("model", "lr", "n_beta", "gamma"),
    (
        MODEL,
        LR,
        N_BETA,
        GAMMA,
        Column("checkpoints", INTEGER, "checkpoints of the model in the sweep"),
        Column("ok", INTEGER, "those of status ok"),
        Column("llc", NUMBER, "mean of lambda_hat over the checkpoints"),
        Column("relative_se", NUMBER, "mean over the checkpoints of standard error over lambda_hat"),
        Column("status", TEXT, "the most frequent status"),
        Column(
            "added_r2",
            NUMBER,
            "share of the critical level's variance left by control and sampling loss that the LLC explains",
        ),
        Column("plateau", FLAG, "ok at all checkpoints, the neighbours in lr too, with much the same estimates"),
        Column("recommended", FLAG, "the least noisy setting of the plateau"),
    ),
)
