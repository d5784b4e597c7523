"""Compression: delta loss of each scheme at its levels, and the critical level at every tolerance.

All schemes have the shape of the first rule; each has a name of its own, for profiles, resources and dry runs.
"""


rule compress:
    input:
        **OF_CHECKPOINT,
        blocks="<results>/corpus/blocks.npy",
        splits="<results>/corpus/splits.parquet",
    log:
        "<logs>/compress.log",
    conda:
        "../envs/model.yaml"
    resources:
        # A scheme passes the evaluation blocks some hundred times, forward only: a third of both ways.
        # In float32, whatever the chains are in: grids and noise are too fine for bfloat16.
        **asks(4, lambda wc: 60 * block_tokens("evaluation"), dtype="float32"),
    params:
        version=stage_version("compress"),
        folder=checkpoint,
    script:
        "../scripts/compress.py"


use rule compress as quantize with:
    output:
        **compressed("quantize"),
    log:
        "<logs>/quantize/{model}/step{step}.log",
    params:
        scheme="quantize",
        settings=scheme_settings("quantize"),


use rule compress as round with:
    output:
        **compressed("round"),
    log:
        "<logs>/round/{model}/step{step}.log",
    params:
        scheme="round",
        settings=scheme_settings("round"),


use rule compress as kmeans with:
    output:
        **compressed("kmeans"),
    log:
        "<logs>/kmeans/{model}/step{step}.log",
    params:
        scheme="kmeans",
        settings=scheme_settings("kmeans"),


use rule compress as gptq with:
    output:
        **compressed("gptq"),
    log:
        "<logs>/gptq/{model}/step{step}.log",
    params:
        scheme="gptq",
        settings=scheme_settings("gptq"),


use rule compress as factorize with:
    output:
        **compressed("factorize"),
    log:
        "<logs>/factorize/{model}/step{step}.log",
    params:
        scheme="factorize",
        settings=scheme_settings("factorize"),


use rule compress as noise with:
    output:
        **compressed("noise"),
    log:
        "<logs>/noise/{model}/step{step}.log",
    params:
        scheme="noise",
        settings=scheme_settings("noise"),


use rule compress as prune with:
    output:
        **compressed("prune"),
    log:
        "<logs>/prune/{model}/step{step}.log",
    params:
        scheme="prune",
        settings=scheme_settings("prune"),


use rule compress as prune_heads with:
    output:
        **compressed("prune_heads"),
    log:
        "<logs>/prune_heads/{model}/step{step}.log",
    params:
        scheme="prune_heads",
        settings=scheme_settings("prune_heads"),


use rule compress as motifs with:
    output:
        **compressed("motifs"),
    log:
        "<logs>/motifs/{model}/step{step}.log",
    params:
        scheme="motifs",
        settings=scheme_settings("motifs"),


use rule compress as sequence with:
    output:
        **compressed("sequence"),
    log:
        "<logs>/sequence/{model}/step{step}.log",
    params:
        scheme="sequence",
        settings=scheme_settings("sequence"),
