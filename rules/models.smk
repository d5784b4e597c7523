"""Where the weights come from, and what each checkpoint is.

Out of it: a folder of weights a checkpoint; its manifest; the loss of every token block at it; the audit of all.
"""


localrules:
    listing,
    screening,
    turn,
    download,


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


rule listing:
    """Ask the hubs which files each checkpoint has, and pin every branch to the commit it means now."""
    output:
        table="<results>/audit/listing.parquet",
        csv="<results>/audit/listing.csv",
    log:
        "<logs>/audit/listing.log",
    retries: 2
    conda:
        "../envs/model.yaml"
    params:
        settings=lambda wc: canonical(
            {
                model: {
                    **{name: its[name] for name in ("repo", "revision", "steps")},
                    "schemes": [name for name in its["schemes"] if name in CHOOSY],
                }
                for model, its in MODELS.items()
                if its["source"] == "hub"
            }
        ),
    script:
        "../scripts/listing.py"


rule screening:
    """Find the checkpoints that serve another one's files, from the hubs' digests alone."""
    input:
        listing="<results>/audit/listing.parquet",
    output:
        table="<results>/audit/screening.parquet",
        csv="<results>/audit/screening.csv",
    log:
        "<logs>/audit/screening.log",
    conda:
        "../envs/analysis.yaml"
    params:
        version=stage_version("audit"),
        settings=canonical(config["audit"]),
    script:
        "../scripts/screening.py"


rule turn:
    """Let a checkpoint download once the one that is a window before it has been used by all."""
    input:
        ancient(users_before),
    output:
        touch("<results>/audit/turns/{model}/step{step}"),
    log:
        "<logs>/turn/{model}/step{step}.log",
    wildcard_constraints:
        model=of_source("hub"),
    conda:
        "../envs/analysis.yaml"
    shell:
        ": > {log:q}"


rule download:
    """Download one checkpoint from its hub, only the files that are needed, at the listed commit."""
    input:
        listing=ancient("<results>/audit/listing.parquet"),
        screening=ancient("<results>/audit/screening.parquet"),
        turn=ancient("<results>/audit/turns/{model}/step{step}"),
    output:
        weights=temp(directory("<results>/downloads/{model}/step{step}")),
    log:
        "<logs>/download/{model}/step{step}.log",
    wildcard_constraints:
        model=of_source("hub"),
    retries: 3
    conda:
        "../envs/model.yaml"
    resources:
        hub=1,
    params:
        settings=lambda wc: canonical(
            {name: MODELS[wc.model][name].format(step=wc.step) for name in ("repo", "revision")}
        ),
    script:
        "../scripts/download.py"


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
        **asks(2, lambda wc: block_tokens("sampling", "evaluation"), dtype="float32"),
    params:
        version=stage_version("reference"),
        folder=checkpoint,
        content=folder_content,
        settings=lambda wc: canonical(
            {
                "dtype": MODELS[wc.model]["dtype"],
                "autocast": config["llc"]["memory"]["autocast"],
                "batch_size": config["compression"]["batch_size"],
            }
        ),
    script:
        "../scripts/reference.py"


rule audit:
    """Hold all checkpoints against each other: equal weights, odd tensors, losses out of order."""
    input:
        unpack(screening),
        manifests=of_checkpoints("<results>/reference/{model}/step{step}/manifest.parquet"),
        losses=of_checkpoints("<results>/reference/{model}/step{step}/losses.parquet"),
    output:
        table="<results>/tables/audit.parquet",
        csv=csv("audit"),
    log:
        "<logs>/tables/audit.log",
    conda:
        "../envs/analysis.yaml"
    params:
        version=stage_version("audit"),
        settings=canonical(config["audit"]),
    script:
        "../scripts/audit.py"
