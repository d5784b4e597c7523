"""The tables of the experiment on Mosaic-of-Motifs."""

from smdl.tables import FLAG, INTEGER, NUMBER, TEXT, Column, Table

ARCHITECTURE = Column("architecture", TEXT, "kind of model: gpt_neox or llama")
ARM = Column("arm", TEXT, "what is done to the weights in training, or after it")
SEED = Column("seed", INTEGER, "number of the model; the config's seed plus it is its seed")
LOW, HIGH = (
    Column(name, NUMBER, f"{end} end of its 95 % t interval") for name, end in (("low", "lower"), ("high", "upper"))
)

MODELS = Table(
    "motifs",
    "Every model: its loss, the bits of a file that gives its weights back, and its learning coefficient.",
    ("architecture", "arm", "seed"),
    (
        ARCHITECTURE,
        ARM,
        SEED,
        Column("method", TEXT, "the arm without its settings"),
        Column("s", INTEGER, "weights per motif"),
        Column("capacity", NUMBER, "motifs over blocks"),
        Column("values", INTEGER, "values a weight can take, where weights are quantized"),
        Column("pruned", NUMBER, "fraction of the weights pruned"),
        Column("weights", INTEGER, "number of weights in matrices"),
        Column("loss", NUMBER, "loss on the test blocks", "nats"),
        Column("file_bits", INTEGER, "size of the shortest file that is decoded to the same matrices", "bits"),
        Column("bits_per_weight", NUMBER, "file_bits over the weights", "bits"),
        Column("form", TEXT, "how that file holds them: tensors, mosaic or lzma"),
        Column("motifs", INTEGER, "distinct blocks of a mosaic"),
        Column("dictionary_bits", NUMBER, "its dictionary, 32 bits a value", "bits"),
        Column("assignment_bits", NUMBER, "its assignments, entropy coded with a table of counts", "bits"),
        Column("lzma_bits", INTEGER, "the matrices' float32 bytes by lzma, as the source measures them", "bits"),
        Column("llc", NUMBER, "local learning coefficient, its control as control variate"),
        Column("llc_se", NUMBER, "its standard error"),
        Column("control", NUMBER, "the same without a loss: flatness"),
        Column("control_se", NUMBER, "its standard error"),
        Column("saturation", NUMBER, "n_beta^2 Var[L] over the LLC"),
        Column("status", TEXT, "of the LLC: ok, or the gravest fault; empty where none is taken"),
        Column("reason", TEXT, "the figure that decided the status"),
    ),
)

COMPLEXITY = Table(
    "motifs_complexity",
    "Measures of algorithmic complexity of the matrices of every model, and of two null models of the free ones.",
    ("architecture", "arm", "seed", "stage", "part", "weights", "measure"),
    (
        ARCHITECTURE,
        ARM,
        SEED,
        Column("stage", TEXT, "initialised, or trained"),
        Column("part", TEXT, "matrices inside the layers, or all: the embeddings too"),
        Column(
            "weights",
            TEXT,
            "own; permuted within each tensor, or within each row of it; or redrawn from the tensor's distribution",
        ),
        Column("measure", TEXT, "compressor_view (compressed bits per weight), entropy, or normalised BDM"),
        Column("value", NUMBER, "its value; less is simpler"),
    ),
)

ERRORS = Table(
    "motifs_errors",
    "Squared error of schemes at one level on the weights of the free models and on null models of them.",
    ("architecture", "arm", "seed", "stage", "part", "weights", "scheme"),
    (
        *COMPLEXITY.columns[:6],
        Column("scheme", TEXT, "scheme and level"),
        Column("error", NUMBER, "squared error over the squared norm"),
    ),
)

TESTS = Table(
    "motifs_tests",
    "The tests of every statement: an estimate over seeds, its interval, and what they say.",
    ("statement", "architecture", "what"),
    (
        Column("statement", TEXT, "which statement, as in the table motifs_verdicts"),
        ARCHITECTURE,
        Column("what", TEXT, "measure, scheme or arm"),
        Column("decides", FLAG, "whether the verdict rests on it"),
        Column("estimate", NUMBER, "mean over the seeds of what the statement says is above the margin"),
        LOW,
        HIGH,
        Column("margin", NUMBER, "what the interval must lie above"),
        Column("seeds", INTEGER, "number of seeds"),
        Column("verdict", TEXT, "holds: the interval lies above the margin; refuted: below it; else undecided"),
    ),
)

VERDICTS = Table(
    "motifs_verdicts",
    "The statements, what was expected of them before the first run, and what came out.",
    ("statement",),
    (
        Column("statement", TEXT, "short name"),
        Column("claim", TEXT, "what it says"),
        Column("test", TEXT, "what decides"),
        Column("expected", TEXT, "verdict expected before the first run"),
        Column("verdict", TEXT, "that of all tests that decide, or mixed where they differ"),
    ),
)
