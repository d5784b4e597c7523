"""The tables of the settings sweep."""

from smdl.tables import FLAG, INTEGER, NUMBER, TEXT, Column, Table
from smdl.tables.study import MODEL, STEP

LR = Column("lr", NUMBER, "learning rate of the sampler")
N_BETA = Column("n_beta", NUMBER, "inverse temperature times sample size")
GAMMA = Column("gamma", NUMBER, "strength of the localisation")

# What must hold at all checkpoints of a model for a setting to be recommended; smdl.sweep.choice has the limits.
RULES = {
    "ok": "status ok",
    "below_control": "the LLC is clearly below its control",
    "of_order": "the excess loss is of the order of the tolerances",
    "alike_at_lower_lr": "a lower lr changes little",
    "mixed": "the chains are mixed",
    "short_steps": "no step goes past w* along the stiffest direction",
    "cold": "minibatches add little to a step's noise",
}

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
        Column("llc_minus_control", NUMBER, "llc minus control"),
        Column("llc_minus_control_se", NUMBER, "its standard error"),
        Column("excess", NUMBER, "mean excess loss of the draws, llc over n_beta", "nats per token"),
        Column("step_at_stiffest", NUMBER, "lr G n_beta h / 2, h the Hessian's largest eigenvalue and G = 1 / eps_rms"),
        Column("noise_temperature", NUMBER, "what minibatches add to the noise of a step, over that noise"),
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
        Column("llc", NUMBER, "mean of lambda_hat over the checkpoints"),
        Column("of_control", NUMBER, "mean over the checkpoints of lambda_hat over its control"),
        Column("excess", NUMBER, "mean over the checkpoints of the excess loss", "nats per token"),
        Column("relative_se", NUMBER, "mean over the checkpoints of the relative standard error of llc minus control"),
        Column("status", TEXT, "the most frequent status"),
        *(Column(name, FLAG, f"at all checkpoints {words}") for name, words in RULES.items()),
        Column("rules", INTEGER, "how many of these rules hold"),
        Column("recommended", FLAG, "all rules hold, and of such settings the least relative_se"),
    ),
)
