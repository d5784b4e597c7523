"""Where the weights come from, and what each checkpoint is.

One rule per declared source that makes weights, with what its class in smdl/sources declares. Out of it: one folder of
weights per checkpoint, its manifest, and the loss of every token block at it.
"""

for source, declared in DECLARED_SOURCES.items():
    if declared.making:

        rule:
            """Make weights of one source: train a model, or fetch a checkpoint."""
            name:
                declared.making.rule
            input:
                **read_by_source(declared),
            output:
                **made_by(declared),
            log:
                log_of_source(declared),
            wildcard_constraints:
                model=of_source(source),
            retries: 3 * declared.making.network
            localrule: declared.making.network
            conda:
                "../envs/model.yaml"
            resources:
                **source_asks(declared),
            params:
                version=declared.making.version,
                source=source,
                network=declared.making.network,
                seed=config["seed"],
                settings=decided_by_source,
            script:
                "../scripts/weights.py"


rule reference:
    """Take a checkpoint's manifest, and the loss of every sampling and evaluation block at its weights."""
    input:
        unpack(screening),
        weights=weights,
        blocks="<results>/corpus/blocks.npy",
        splits="<results>/corpus/splits.parquet",
    output:
        manifest="<results>/reference/{model}/step{step}/manifest.parquet",
        losses="<results>/reference/{model}/step{step}/losses.parquet",
    log:
        "<logs>/reference/{model}/step{step}.log",
    conda:
        "../envs/model.yaml"
    resources:
        **asks("reference", lambda wc: block_tokens("sampling", "evaluation")),
    params:
        version=stage_version("reference"),
        folder=checkpoint,
        content=folder_content,
        settings=lambda wc: canonical(
            {
                "dtype": MODELS[wc.model].dtype,
                "autocast": config["llc"]["memory"]["autocast"],
                "batch_size": config["compression"]["batch_size"],
            }
        ),
    script:
        "../scripts/reference.py"


rule checkpoints:
    """One row per checkpoint: its digest, size and loss."""
    input:
        manifests=of_checkpoints("<results>/reference/{model}/step{step}/manifest.parquet"),
        losses=of_checkpoints("<results>/reference/{model}/step{step}/losses.parquet"),
    output:
        table="<results>/tables/checkpoints.parquet",
        csv=csv("checkpoints"),
    log:
        "<logs>/tables/checkpoints.log",
    conda:
        "../envs/analysis.yaml"
    params:
        version=stage_version("gather"),
    script:
        "../scripts/checkpoints.py"


rule covariates:
    """What distinguishes the checkpoints: how each was trained, by the config and by the job that made it."""
    input:
        made=of_making("covariates"),
    output:
        table="<results>/tables/covariates.parquet",
        csv=csv("covariates"),
    log:
        "<logs>/tables/covariates.log",
    conda:
        "../envs/analysis.yaml"
    params:
        version=stage_version("gather"),
        settings=lambda wc: canonical(
            sorted((model, step, STUDY.made_with(model, step)) for model, step in CHECKPOINTS)
        ),
    script:
        "../scripts/covariates.py"
