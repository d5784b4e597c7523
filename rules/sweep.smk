"""Sampler settings over a grid on chosen checkpoints, and the settings to use."""

SWEPT = config["sweep"]["checkpoints"] or {model: its.steps for model, its in MODELS.items()}


rule sweep:
    """The sweep of the config's section of that name; no part of `all`."""
    input:
        "<results>/sweep/recommended.yaml",
    localrule: True


rule sweep_chains:
    """Estimate the LLC of a checkpoint at every setting."""
    input:
        **OF_CHECKPOINT,
        blocks="<results>/corpus/blocks.npy",
        splits="<results>/corpus/splits.parquet",
    output:
        table="<results>/sweep/{model}/step{step}.parquet",
    log:
        "<logs>/sweep/{model}/step{step}.log",
    conda:
        "../envs/model.yaml"
    resources:
        **asks("sweep_chains", sweep_tokens, "sweep/{model}/*.parquet"),
    params:
        version=stage_version("sweep"),
        seed=config["seed"],
        folder=checkpoint,
        settings=lambda wc: canonical(
            {
                "sampler": {
                    **sampler_settings(wc.model, STUDY.llc.first),
                    **plain(STUDY.sweep.sampler),
                },
                "chains": config["sweep"]["chains"],
                "grid": config["sweep"]["grid"],
                "gates": config["llc"]["gates"],
                "dtype": MODELS[wc.model].dtype,
                "memory": config["llc"]["memory"],
            }
        ),
    script:
        "../scripts/sweep_chains.py"


rule sweep_tables:
    """All settings, their heat maps, and the block for the config that the sweep recommends."""
    input:
        sweeps=[
            f"<results>/sweep/{model}/step{step}.parquet"
            for model, steps in SWEPT.items()
            for step in steps
        ],
    output:
        table="<results>/sweep/sweep.parquet",
        csv="<results>/sweep/sweep.csv",
        settings="<results>/sweep/sweep_settings.parquet",
        settings_csv="<results>/sweep/sweep_settings.csv",
        block="<results>/sweep/recommended.yaml",
        figures=expand(
            "<results>/sweep/figures/{model}.{format}", model=SWEPT, format=["svg", "png"]
        ),
    log:
        "<logs>/sweep/tables.log",
    conda:
        "../envs/analysis.yaml"
    params:
        version=stage_version("gather"),
        settings=canonical({"tolerances": config["compression"]["epsilons"]}),
    script:
        "../scripts/sweep.py"
