"""Tables of coding lengths, bits back and proxies."""

from smdl.tables import FLAG, INTEGER, NUMBER, TEXT, Column, Table
from smdl.tables.study import MODEL, STEP

CODE = Column("code", TEXT, "how the weights are coded")
LEVELS = Column("levels", INTEGER, "precision: values a weight can take, n_q")

CODING = Table(
    "coding",
    "Coding lengths of every checkpoint at the stated precisions, each tensor on a grid up to its largest weight.",
    ("model", "step", "levels", "code"),
    (
        MODEL,
        STEP,
        LEVELS,
        CODE,
        Column("bits", NUMBER, "length of all weights, tables and parameters of the prior included", "bits"),
        Column("bits_per_parameter", NUMBER, "length over the number of weights", "bits"),
        Column("ratio", NUMBER, "dense float32 over the length"),
        Column("entropy_bits", NUMBER, "entropy of the quantized weights, tensor by tensor", "bits"),
        Column("efficiency", NUMBER, "entropy over the length"),
    ),
)

TWO_PART = Table(
    "two_part",
    "Bits of the quantized weights plus bits of the data, at the least total and at the critical precisions.",
    ("model", "step", "code", "choice"),
    (
        MODEL,
        STEP,
        CODE,
        Column("choice", TEXT, "why this precision: least total, or critical at a tolerance"),
        Column("epsilon", NUMBER, "that tolerance", "nats"),
        LEVELS,
        Column("inside", FLAG, "whether the least total lies inside the curve, not at its end"),
        Column("weight_bits", NUMBER, "length of the weights", "bits"),
        Column("data_bits", NUMBER, "n L / ln 2 with the loss at that precision", "bits"),
        Column("total_bits", NUMBER, "both parts", "bits"),
    ),
)

BITS_BACK = Table(
    "bits_back",
    "Description length of every checkpoint by noisy weights (Hinton and van Camp 1993).",
    ("model", "step"),
    (
        MODEL,
        STEP,
        Column("weight_bits", NUMBER, "mixture bound of KL(Q || P), summed over the weights", "bits"),
        Column("bits_per_parameter", NUMBER, "weight_bits over the number of weights", "bits"),
        Column("prior_bits", NUMBER, "parameters of the prior, 32 bits each", "bits"),
        Column("loss", NUMBER, "loss without noise", "nats a token"),
        Column("expected_loss", NUMBER, "expected loss of the noisy weights", "nats a token"),
        Column("expected_loss_se", NUMBER, "its standard error over sampled weights", "nats a token"),
        Column("data_bits", NUMBER, "n times the expected loss over ln 2", "bits"),
        Column("total_bits", NUMBER, "weights, prior and data", "bits"),
    ),
)

PROXIES = Table(
    "proxies",
    "Proxies of algorithmic complexity of every checkpoint.",
    ("model", "step", "proxy"),
    (
        MODEL,
        STEP,
        Column("proxy", TEXT, "compressor_view (raw over compressed bytes), or a norm"),
        Column("value", NUMBER, "its value"),
    ),
)
