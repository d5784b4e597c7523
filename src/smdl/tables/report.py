"""The tables that a reader of the report needs beside the study's: what was left out, and how each file came about."""

from smdl.tables import FLAG, INTEGER, NUMBER, TEXT, Column, Table
from smdl.tables.study import IN_WINDOW, MODEL, STEP

EXCLUSIONS = Table(
    "exclusions",
    "Every estimate that is not plainly in order, and whether a regression uses it nevertheless.",
    ("model", "step", "what", "setting", "scheme", "variant", "epsilon"),
    (
        MODEL,
        STEP,
        Column("what", TEXT, "llc, or critical level"),
        Column("setting", TEXT, "named setting of the sampler; empty for a critical level"),
        Column("scheme", TEXT, "compression scheme; empty for an LLC"),
        Column("variant", TEXT, "variant of the scheme; empty for an LLC"),
        Column("epsilon", NUMBER, "tolerance; empty for an LLC", "nats per token"),
        Column("status", TEXT, "what is wrong with the estimate"),
        Column("reason", TEXT, "the figure that decided the status"),
        IN_WINDOW,
        Column("used", FLAG, "whether the regressions use the estimate all the same"),
    ),
    gathered=True,
)

SETTINGS = Table(
    "settings",
    "The configuration of the study as it was understood, defaults included.",
    ("key",),
    (
        Column("key", TEXT, "key of the configuration, its sections before it"),
        Column("value", TEXT, "value; the entries of a list one after another"),
        Column("meaning", TEXT, "what the key says, from the schema"),
    ),
)

RUNS = Table(
    "runs",
    "How every Parquet file of the study came about.",
    ("file",),
    (
        Column("file", TEXT, "path of the file in the study's folder"),
        Column("table", TEXT, "table that the file holds"),
        Column("wall_seconds", NUMBER, "wall time of the job up to the writing", "s"),
        Column("peak_memory_mb", NUMBER, "peak memory of the process", "MB"),
        Column("device", TEXT, "processor or GPU"),
        Column("peak_device_memory_mb", NUMBER, "peak memory on the GPU; 0 without one", "MB"),
        Column("seed", INTEGER, "seed of the job; empty where nothing is random"),
        Column("stage_version", INTEGER, "version of the code that decides the numbers"),
        Column("commit", TEXT, "commit of the workflow, with -dirty where files differed from it"),
        Column("packages", TEXT, "versions of Python and of the packages behind the numbers"),
        Column("settings", TEXT, "settings of the job, as JSON"),
    ),
    gathered=True,
)
