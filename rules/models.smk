"""Where the weights come from, and what each checkpoint is.

Out of it: a folder of weights a checkpoint; its manifest; the loss of every token block at it.
"""


rule train:
    """Train a GPT-NeoX model on the training blocks and keep the checkpoints of the study."""
    input:
        blocks="<results>/corpus/blocks.npy",
        splits="<results>/corpus/splits.parquet",
    output:
        weights=directory("<results>/trained/{model}"),
        losses="<results>/training/{model}.parquet",
    log:
        "<logs>/train/{model}.log",
    wildcard_constraints:
        model=of_source("train"),
    conda:
        "../envs/model.yaml"
    resources:
        **asks(6, training_tokens),
    params:
        version=stage_version("train"),
        seed=config["seed"],
        settings=lambda wc: canonical(training_settings(wc.model)),
    script:
        "../scripts/train.py"


rule download:
    """Download one checkpoint from its hub, only the files that are needed."""
    output:
        weights=temp(directory("<results>/downloads/{model}/step{step}")),
    log:
        "<logs>/download/{model}/step{step}.log",
    wildcard_constraints:
        model=of_source("hub"),
    retries: 3
    conda:
        "../envs/analysis.yaml"
    params:
        settings=lambda wc: canonical(
            {name: MODELS[wc.model][name].format(step=wc.step) for name in ("repo", "revision")}
        ),
    script:
        "../scripts/download.py"


rule reference:
    """Take a checkpoint's manifest, and the loss of every sampling and evaluation block at its weights."""
    input:
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
        **asks(2, lambda wc: block_tokens("sampling", "evaluation")),
    params:
        version=stage_version("reference"),
        folder=checkpoint,
        settings=lambda wc: canonical(
            {"dtype": MODELS[wc.model]["dtype"], "batch_size": config["compression"]["batch_size"]}
        ),
    script:
        "../scripts/reference.py"
