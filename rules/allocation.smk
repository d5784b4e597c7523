"""Bits of every matrix: what each costs alone, ladders of its LLC, allocations by every score, and their judgement."""

ALLOCATED = [table for table, theme in gathered().items() if theme == "tables.allocation"]
# What decides how matrices are quantized.
QUANTIZED = ["parameters", "group", "bits", "batch_size"]
# Passes over the calibration blocks before a rate is measured: those of a model of a hundred matrices.
PASSES = {"tensor_errors": 700, "ladder": 25_000, "allocation": 3000}


rule tensor_errors:
    """Quantize one matrix at a time, at every number of bits; a job that was stopped goes on where it was."""
    input:
        **OF_CHECKPOINT,
        **OF_CORPUS,
    output:
        table="<results>/allocation/{model}/step{step}/{quantizer}/tensor_errors.parquet",
    log:
        "<logs>/tensor_errors/{model}/step{step}/{quantizer}.log",
    conda:
        "../envs/model.yaml"
    resources:
        **asks("tensor_errors", allocation_tokens(PASSES["tensor_errors"])),
    params:
        version=stage_version("allocation"),
        folder=checkpoint,
        kept=lambda wc, output: f"{output.table}.kept",
        settings=allocation_settings(*QUANTIZED),
    script:
        "../scripts/tensor_errors.py"


rule ladder:
    """Climb a ladder of n_beta with each matrix alone; a job that was stopped goes on where it was."""
    input:
        **OF_CHECKPOINT,
        **OF_CORPUS,
    output:
        table="<results>/allocation/{model}/step{step}/ladder.parquet",
    log:
        "<logs>/ladder/{model}/step{step}.log",
    # The longest jobs: begun first, none of them is left alone at the end.
    priority: 1
    conda:
        "../envs/model.yaml"
    resources:
        **asks("ladder", allocation_tokens(PASSES["ladder"])),
    params:
        version=stage_version("allocation"),
        seed=config["seed"],
        folder=checkpoint,
        kept=lambda wc, output: f"{output.table}.kept",
        settings=allocation_settings("parameters", "ladder", "published_n_beta", "published_gamma"),
    script:
        "../scripts/ladder.py"


rule allocation:
    """Allocate bits by every score at every budget, and take the loss of the whole model."""
    input:
        **OF_CHECKPOINT,
        **OF_CORPUS,
        errors=rules.tensor_errors.output.table,
        ladder=rules.ladder.output.table,
    output:
        frontier="<results>/allocation/{model}/step{step}/{quantizer}/frontier.parquet",
        scores="<results>/allocation/{model}/step{step}/{quantizer}/scores.parquet",
        allocations="<results>/allocation/{model}/step{step}/{quantizer}/allocations.parquet",
    log:
        "<logs>/allocation/{model}/step{step}/{quantizer}.log",
    conda:
        "../envs/model.yaml"
    resources:
        **asks("allocation", allocation_tokens(PASSES["allocation"])),
    params:
        version=stage_version("allocation"),
        seed=config["seed"],
        folder=checkpoint,
        settings=allocation_settings(
            *QUANTIZED,
            "budgets",
            "noise",
            "noise_draws",
            "probes",
            "hessian_blocks",
            "ladder",
            "search",
        ),
    script:
        "../scripts/allocation.py"


rule allocation_tables:
    """All allocations, what they cost, and the regret of every score over checkpoints."""
    input:
        tensor_errors=allocated("tensor_errors"),
        ladder=allocated("ladder"),
        frontier=allocated("frontier"),
        scores=allocated("scores"),
        allocations=allocated("allocations"),
    output:
        **{table: f"<results>/tables/{table}.parquet" for table in ALLOCATED},
        **{f"{table}_csv": csv(table) for table in ALLOCATED},
    log:
        "<logs>/tables/allocation.log",
    conda:
        "../envs/analysis.yaml"
    params:
        version=stage_version("allocation"),
    script:
        "../scripts/allocation_tables.py"
