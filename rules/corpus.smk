"""The corpus as token blocks, dealt to disjoint splits."""


rule corpus:
    """Tokenise the text once, cut it into blocks, shuffle them and deal them to the splits."""
    output:
        blocks="<results>/corpus/blocks.npy",
        splits="<results>/corpus/splits.parquet",
    log:
        "<logs>/corpus.log",
    localrule: config["corpus"]["source"] == "hub"
    conda:
        "../envs/model.yaml"
    params:
        version=stage_version("corpus"),
        seed=config["seed"],
        content=lambda wc: corpus_content(),
        settings=canonical(config["corpus"]),
    script:
        "../scripts/corpus.py"
