"""The local learning coefficient: chains of the localised posterior around each checkpoint."""


rule llc_chains:
    """Sample a block of chains, each beside its control; a job that was stopped goes on where it was."""
    input:
        **OF_CHECKPOINT,
        blocks="<results>/corpus/blocks.npy",
        splits="<results>/corpus/splits.parquet",
    output:
        draws="<results>/draws/{setting}/{model}/step{step}/block{block}.parquet",
    log:
        "<logs>/llc_chains/{setting}/{model}/step{step}/block{block}.log",
    conda:
        "../envs/model.yaml"
    resources:
        **asks("llc_chains", chain_tokens, "draws/{setting}/{model}/*/*.parquet", dtype=None),
    params:
        version=stage_version("llc"),
        seed=sampler_seed,
        folder=checkpoint,
        state=lambda wc, output: f"{output.draws}.state",
        save_every=config["llc"]["save_every"],
        settings=lambda wc: canonical(sampled(wc)),
    script:
        "../scripts/llc_chains.py"


rule llc:
    """One row per checkpoint and setting: the LLC with its error, control, diagnostics and status."""
    input:
        draws=chains(),
        checkpoints="<results>/tables/checkpoints.parquet",
        audit="<results>/tables/audit.parquet",
    output:
        table="<results>/tables/llc.parquet",
        csv=csv("llc"),
    log:
        "<logs>/tables/llc.log",
    conda:
        "../envs/analysis.yaml"
    params:
        version=stage_version("gather"),
        settings=canonical(
            {
                **estimated(),
                "regression": {"windows": WINDOWS, "admit": config["regression"]["admit"]},
            }
        ),
    script:
        "../scripts/llc.py"


rule restricted_chains:
    """Sample a block of chains in which a part of the weights moves, all others frozen."""
    input:
        **OF_CHECKPOINT,
        blocks="<results>/corpus/blocks.npy",
        splits="<results>/corpus/splits.parquet",
    output:
        draws="<results>/restricted/{setting}/{model}/step{step}/{restriction}/block{block}.parquet",
    log:
        "<logs>/restricted_chains/{setting}/{model}/step{step}/{restriction}/block{block}.log",
    conda:
        "../envs/model.yaml"
    resources:
        **asks(
            "restricted_chains",
            chain_tokens,
            "restricted/{setting}/{model}/*/*/*.parquet",
            dtype=None,
        ),
    params:
        version=stage_version("llc"),
        seed=sampler_seed,
        folder=checkpoint,
        state=lambda wc, output: f"{output.draws}.state",
        save_every=config["llc"]["save_every"],
        settings=lambda wc: canonical({**sampled(wc), "restriction": RESTRICTIONS[wc.restriction]}),
    script:
        "../scripts/llc_chains.py"


rule llc_restricted:
    """One row per checkpoint, setting and restriction: the LLC of a part of the weights."""
    input:
        draws=restricted_chains(),
        checkpoints="<results>/tables/checkpoints.parquet",
        audit="<results>/tables/audit.parquet",
    output:
        table="<results>/tables/llc_restricted.parquet",
        csv=csv("llc_restricted"),
    log:
        "<logs>/tables/llc_restricted.log",
    conda:
        "../envs/analysis.yaml"
    params:
        version=stage_version("gather"),
        settings=canonical(estimated()),
    script:
        "../scripts/llc_restricted.py"
