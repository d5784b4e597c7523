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
        **asks(6, chain_tokens, "draws/{setting}/{model}/*/*.parquet"),
    params:
        version=stage_version("llc"),
        seed=sampler_seed,
        folder=checkpoint,
        state=lambda wc, output: f"{output.draws}.state",
        save_every=config["llc"]["save_every"],
        settings=lambda wc: canonical(
            {
                "sampler": sampler_settings(wc.model, wc.setting),
                "chains": chains_of_block(wc),
                "control": config["llc"]["control"],
                "dtype": MODELS[wc.model].dtype,
                "memory": config["llc"]["memory"],
            }
        ),
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
                "gates": config["llc"]["gates"],
                "burn_in_test": config["llc"]["burn_in_test"],
                "samplers": sorted(
                    (setting, model, sampler_settings(model, setting))
                    for setting in LLC_SETTINGS
                    for model in MODELS
                ),
                "regression": {"windows": WINDOWS, "admit": config["regression"]["admit"]},
            }
        ),
    script:
        "../scripts/llc.py"
