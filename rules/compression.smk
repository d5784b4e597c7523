"""Compression: delta loss of each scheme at its levels, and the critical level at every tolerance.

All schemes have the shape of the first rule; each has a name of its own, for profiles, resources and dry runs.
"""


rule compress:
    input:
        weights=weights,
        blocks="<results>/corpus/blocks.npy",
        splits="<results>/corpus/splits.parquet",
        losses="<results>/reference/{model}/step{step}/losses.parquet",
    log:
        "<logs>/compress.log",
    conda:
        "../envs/model.yaml"
    resources:
        # A scheme tries some hundred weights on the evaluation blocks.
        **asks(4, lambda wc: 300 * block_tokens("evaluation")),
    params:
        version=stage_version("compress"),
        folder=checkpoint,
        dtype=lambda wc: MODELS[wc.model]["dtype"],
    script:
        "../scripts/compress.py"


use rule compress as quantize with:
    output:
        **compressed("quantize"),
    log:
        "<logs>/quantize/{model}/step{step}.log",
    params:
        settings=scheme_settings("quantize"),
