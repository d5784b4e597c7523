"""The table of rulers, and the measures that enter it."""

from smdl.tables import INTEGER, NUMBER, TEXT, Column, Table
from smdl.tables.study import EPSILON, MODEL, SCHEME, STEP, VARIANT

MEASURES = Table(
    "measures",
    "Every measure of complexity of every checkpoint.",
    ("model", "step", "measure"),
    (
        MODEL,
        STEP,
        Column("measure", TEXT, "name of the measure"),
        Column("value", NUMBER, "its value"),
        Column(
            "made_with",
            TEXT,
            "settings that it depends on and that may differ between models; what was made with different ones is not"
            " compared across models",
        ),
    ),
    gathered=True,
)

_INTERVAL = "of the 95 % interval over resampled models; empty within a model, and across fewer than five"

RULERS = Table(
    "rulers",
    "Every measure of complexity against every notion of compressibility. The checkpoints of one training run are no"
    " independent sample: no interval and no p value can be computed within a model.",
    ("measure", "compressibility", "epsilon", "scope"),
    (
        Column("measure", TEXT, "measure of complexity"),
        Column("compressibility", TEXT, "scheme and variant whose critical level is foretold"),
        SCHEME,
        VARIANT,
        EPSILON,
        Column("scope", TEXT, "name of a model: within it, over training; all models: across them"),
        Column("n", INTEGER, "checkpoints"),
        Column("spearman", NUMBER, "Spearman's rank correlation of measure and critical level"),
        Column("spearman_low", NUMBER, f"lower end {_INTERVAL}"),
        Column("spearman_high", NUMBER, f"upper end {_INTERVAL}"),
        Column("r2", NUMBER, "squared Pearson correlation"),
        Column("r2_low", NUMBER, f"lower end {_INTERVAL}"),
        Column("r2_high", NUMBER, f"upper end {_INTERVAL}"),
        Column(
            "partial_given_loss",
            NUMBER,
            "Spearman's correlation with the ranks of the loss on the evaluation blocks held fixed",
        ),
        Column("partial_given_loss_low", NUMBER, f"lower end {_INTERVAL}"),
        Column("partial_given_loss_high", NUMBER, f"upper end {_INTERVAL}"),
        Column(
            "p",
            NUMBER,
            "two-sided p value of the rank correlation of the models' means, by permuting them; empty as intervals are",
        ),
        Column("p_corrected", NUMBER, "p corrected for all pairs of the table (Benjamini and Yekutieli)"),
    ),
    gathered=True,
)
