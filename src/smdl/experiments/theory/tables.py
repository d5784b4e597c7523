"""The tables of the theory runs."""

from smdl.tables import INTEGER, NUMBER, TEXT, Column, Table

MODEL = Column("model", TEXT, "name of the model")
EPSILON = Column("eps", NUMBER, "excess loss that bounds the sublevel set", "nats")
DIMENSION = Column("dimension", INTEGER, "number of parameters d")
LAMBDA_TRUE = Column("lambda_true", NUMBER, "learning coefficient in closed form")

THEORY = Table(
    "theory",
    "Learning coefficient and multiplicity of every model: fitted against exact.",
    ("model", "method"),
    (
        MODEL,
        Column("formula", TEXT, "the model in words"),
        Column(
            "method",
            TEXT,
            "volume_exact, volume_splitting (fits of log volume), redundancy (of the volume code), redundancy_grid"
            " (of the regular code; lambda_true is then d/2), sampler (n_beta times the mean excess loss)",
        ),
        DIMENSION,
        LAMBDA_TRUE,
        Column("lambda_fit", NUMBER, "fitted learning coefficient"),
        Column("lambda_low", NUMBER, "lower end of its interval"),
        Column("lambda_high", NUMBER, "upper end of its interval"),
        Column("relative_error", NUMBER, "lambda_fit / lambda_true - 1"),
        Column("m_true", INTEGER, "multiplicity in closed form; none for trained networks and the sampler"),
        Column("m_fit", INTEGER, "fitted multiplicity; none for the sampler"),
        Column("m_low", INTEGER, "smallest multiplicity that the curve does not rule out"),
        Column("m_high", INTEGER, "largest multiplicity that the curve does not rule out"),
        Column("shift", NUMBER, "fitted shift of the logarithm", "nats"),
        Column("constant", NUMBER, "fitted constant", "nats"),
        Column(
            "tempered", NUMBER, "what a perfect sampler would give at this n_beta and gamma, where it can be integrated"
        ),
    ),
)

VOLUMES = Table(
    "volumes",
    "Log volume of the sublevel sets {K <= eps}, relative to the box.",
    ("model", "method", "replicate", "eps"),
    (
        MODEL,
        Column("method", TEXT, "volume_exact or volume_splitting"),
        Column("replicate", INTEGER, "independent run"),
        EPSILON,
        Column("log_volume", NUMBER, "log of the volume's share of the box", "nats"),
    ),
)

REDUNDANCY = Table(
    "redundancy",
    "Redundancy of two-part codes: mean over the draws of one codebook.",
    ("model", "code", "replicate", "n"),
    (
        MODEL,
        Column("code", TEXT, "redundancy (volume code) or redundancy_grid (regular code, d/2 log n)"),
        Column("replicate", INTEGER, "independent codebook and data"),
        Column("n", INTEGER, "observations"),
        Column("draws", INTEGER, "data sets"),
        Column("redundancy", NUMBER, "code length minus that of the truth", "nats"),
        Column("redundancy_se", NUMBER, "standard error over the draws", "nats"),
        Column("coded_bits", NUMBER, "mean bits of the real codewords beyond the truth's ideal length", "bits"),
        Column("decoded", INTEGER, "how many real codewords were written and decoded to the same data"),
    ),
)

BITS = Table(
    "bits",
    "Bits per coordinate of the largest cell within the sublevel set.",
    ("model", "cell", "eps"),
    (
        MODEL,
        Column(
            "cell",
            TEXT,
            "volume (the whole sublevel set), box, cube, or quantizer (n_q equally spaced values)",
        ),
        EPSILON,
        DIMENSION,
        LAMBDA_TRUE,
        Column("lambda_sampler", NUMBER, "estimate of the sampler, for trained networks"),
        Column("bits", NUMBER, "bits a coordinate", "bits"),
    ),
)

CLOUDS = Table(
    "clouds",
    "Draws of the sampler on the models of two parameters.",
    ("model", "walker", "draw"),
    (
        MODEL,
        Column("walker", INTEGER, "independent chain"),
        Column("draw", INTEGER, "draw of the chain"),
        Column("w0", NUMBER, "first coordinate"),
        Column("w1", NUMBER, "second coordinate"),
        Column("excess", NUMBER, "K(w)", "nats"),
    ),
)
