"""The tables of what a hub offers and of what was found wrong with it."""

from smdl.tables import FLAG, INTEGER, NUMBER, TEXT, Column, Table
from smdl.tables.study import MODEL, STEP

LISTING = Table(
    "listing",
    "The files that the hub lists for every step, and for the final weights, with the commit each is pinned to.",
    ("model", "step", "path"),
    (
        MODEL,
        STEP,
        Column("repo", TEXT, "repository on the hub"),
        Column("revision", TEXT, "branch, tag or commit asked for"),
        Column("commit", TEXT, "commit that the revision meant when it was listed"),
        Column("wanted", FLAG, "whether the study uses the step; the final weights are listed for comparison alone"),
        Column("path", TEXT, "path of the file in the repository"),
        Column("size", INTEGER, "size of the file", "bytes"),
        Column("sha256", TEXT, "digest of the file (git's blob id for small ones)"),
        Column("weights", FLAG, "whether the file holds weights, needed or not: these are compared"),
        Column("needed", FLAG, "whether the study downloads the file"),
    ),
)

SCREENING = Table(
    "screening",
    "Checkpoints whose files alone show that they are not what their names say; nothing is downloaded or run for them.",
    ("model", "step"),
    (
        MODEL,
        STEP,
        Column("shared", NUMBER, "largest fraction of the weight files' bytes that equals another checkpoint's"),
        Column("shared_with", TEXT, "that other checkpoint; empty where nothing is shared"),
        Column("excluded", FLAG, "whether the checkpoint is excluded for it"),
    ),
)

AUDIT = Table(
    "audit",
    "What was found about the weights of every checkpoint, and whether it is kept out of the regressions.",
    ("model", "step"),
    (
        MODEL,
        STEP,
        Column("finite", FLAG, "whether every weight is finite"),
        Column("wrong_tensors", INTEGER, "tensors missing, too many, or of another shape or type than at other steps"),
        Column("wrong_tensor", TEXT, "name of the first of them; empty where there is none"),
        Column("shared", NUMBER, "largest fraction of the weights that equals another checkpoint's"),
        Column("shared_with", TEXT, "that other checkpoint; empty where nothing is shared"),
        Column("loss", NUMBER, "mean loss over the blocks", "nats per token"),
        Column("loss_se", NUMBER, "its standard error over blocks", "nats per token"),
        Column(
            "reason",
            TEXT,
            "not finite (weights), constant (all weights), loss not finite, wrong tensors, same weights, loss out of"
            " order; empty where sound",
        ),
        Column("excluded", FLAG, "whether the checkpoint is excluded"),
    ),
    gathered=True,
)
