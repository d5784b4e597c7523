"""The local learning coefficient: chains of the localised posterior around each checkpoint."""


rule llc_chains:
    """Sample a block of chains, each beside its control; a job that was stopped goes on where it was."""
    input:
        **OF_CHECKPOINT,
        blocks="<results>/corpus/blocks.npy",
        splits="<results>/corpus/splits.parquet",
    output:
        draws="<results>/draws/{model}/step{step}/block{block}.parquet",
    log:
        "<logs>/llc_chains/{model}/step{step}/block{block}.log",
    conda:
        "../envs/model.yaml"
    resources:
        **asks(5, chain_tokens, "draws/{model}/*/*.parquet"),
    params:
        version=stage_version("llc"),
        seed=config["seed"],
        folder=checkpoint,
        state=lambda wc, output: f"{output.draws}.state",
        save_every=config["llc"]["save_every"],
        settings=lambda wc: canonical(
            {
                "sampler": sampler_settings(wc.model),
                "chains": chains_of_block(wc),
                "control": config["llc"]["control"],
                "dtype": MODELS[wc.model].dtype,
                "memory": config["llc"]["memory"],
            }
        ),
    script:
        "../scripts/llc_chains.py"
