"""The neighbouring rulers: coding lengths, bits back, complexity proxies, and the table that compares all measures."""

CODING = config["coding"]
MEASURED = [
    table
    for table, switch in (
        ("coding", "lengths"),
        ("two_part", "lengths"),
        ("bits_back", "bits_back"),
        ("proxies", "proxies"),
    )
    if CODING[switch]["enabled"]
    and (switch != "lengths" or any("quantize" in its["schemes"] for its in MODELS.values()))
]


rule coding:
    """Encode a checkpoint's quantized weights in every way, and weigh their bits against those of the data."""
    input:
        **OF_CHECKPOINT,
        curves="<results>/compression/quantize/{model}/step{step}/curves.parquet",
    output:
        coding="<results>/coding/{model}/step{step}/coding.parquet",
        two_part="<results>/coding/{model}/step{step}/two_part.parquet",
    log:
        "<logs>/coding/{model}/step{step}.log",
    conda:
        "../envs/model.yaml"
    resources:
        # Codes and bits of the largest tensor come on top of the weights; every precision is encoded and decoded.
        **(asks(8, lambda wc: 300 * block_tokens("evaluation")) | {"gpu": 0}),
    params:
        version=stage_version("coding"),
        folder=checkpoint,
        settings=lambda wc: canonical(
            {
                "levels": CODING["lengths"]["levels"],
                "variant": CODING["lengths"]["variant"],
                "scheme": SCHEMES["quantize"]["variants"][CODING["lengths"]["variant"]],
                "coder": {
                    "components": CODING["components"],
                    "block": CODING["lengths"]["block"],
                    "dense_bits": config["compression"]["dense_bits"],
                },
                "tokens": CODING["tokens"],
                "epsilons": config["compression"]["epsilons"],
            }
        ),
    script:
        "../scripts/coding.py"


rule bits_back:
    """Fit noise to a checkpoint's weights and count the bits that remain in them."""
    input:
        **OF_CHECKPOINT,
        blocks="<results>/corpus/blocks.npy",
        splits="<results>/corpus/splits.parquet",
    output:
        table="<results>/coding/{model}/step{step}/bits_back.parquet",
    log:
        "<logs>/bits_back/{model}/step{step}.log",
    conda:
        "../envs/model.yaml"
    resources:
        # Weights, anchors, means, deviations, their gradients and Adam's two moments.
        **asks(
            10,
            lambda wc: 3
            * CODING["bits_back"]["steps"]
            * CODING["bits_back"]["batch_size"]
            * config["corpus"]["context"]
            + CODING["bits_back"]["samples"] * block_tokens("evaluation"),
        ),
    params:
        version=stage_version("coding"),
        folder=checkpoint,
        seed=config["seed"],
        settings=lambda wc: canonical(
            {
                "dtype": MODELS[wc.model]["dtype"],
                "components": CODING["components"],
                "noise": {
                    "tokens": CODING["tokens"],
                    **{k: v for k, v in CODING["bits_back"].items() if k != "enabled"},
                },
            }
        ),
    script:
        "../scripts/bits_back.py"


rule proxies:
    """Squeeze a checkpoint's bytes with the common compressors; take its norms."""
    input:
        **OF_CHECKPOINT,
    output:
        table="<results>/coding/{model}/step{step}/proxies.parquet",
    log:
        "<logs>/proxies/{model}/step{step}.log",
    conda:
        "../envs/model.yaml"
    resources:
        # lzma and zstd at their highest levels take about a minute for 100 MB.
        **(asks(6, lambda wc: 300 * block_tokens("evaluation")) | {"gpu": 0}),
    params:
        version=stage_version("coding"),
        folder=checkpoint,
        settings=canonical({"levels": CODING["proxies"]["levels"]}),
    script:
        "../scripts/proxies.py"


rule rulers:
    """Every measure of complexity against every critical level, within and across models."""
    input:
        **{
            table: [
                f"<results>/coding/{model}/step{step}/{table}.parquet"
                for model, step in CHECKPOINTS
                if table in measured(model)
            ]
            for table in MEASURED
        },
        checkpoints="<results>/tables/checkpoints.parquet",
        llc="<results>/tables/llc.parquet",
        critical="<results>/tables/critical.parquet",
    output:
        rulers="<results>/tables/rulers.parquet",
        rulers_csv=csv("rulers"),
        measures="<results>/tables/measures.parquet",
        measures_csv=csv("measures"),
    log:
        "<logs>/tables/rulers.log",
    conda:
        "../envs/analysis.yaml"
    params:
        version=stage_version("gather"),
        settings=canonical(
            {
                "measures": MEASURED,
                "admit": config["regression"]["admit"],
                "bootstrap": {
                    "resamples": CODING["bootstrap_resamples"],
                    "seed": config["seed"],
                },
            }
        ),
    script:
        "../scripts/rulers.py"
