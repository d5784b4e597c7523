"""Compression: delta loss of every scheme at its levels, and the critical level at every tolerance.

One rule per scheme, named after it, with what its class in smdl/compression/schemes declares.
"""

for scheme, declared in DECLARED.items():

    rule:
        """Compress a checkpoint by one scheme, level after level, and find where its loss has risen by a tolerance."""
        name:
            scheme
        input:
            **OF_CHECKPOINT,
            blocks="<results>/corpus/blocks.npy",
            splits="<results>/corpus/splits.parquet",
        output:
            **compressed(scheme),
        log:
            f"<logs>/{scheme}/{{model}}/step{{step}}.log",
        conda:
            "../envs/model.yaml"
        resources:
            **asks(scheme, scheme_tokens(scheme)),
        params:
            version=stage_version("compress"),
            scheme=scheme,
            scheme_version=declared.version,
            folder=checkpoint,
            settings=scheme_settings(scheme),
        script:
            "../scripts/compress.py"


rule compression_tables:
    """All curves and all critical levels."""
    input:
        curves=of_schemes("<results>/compression/{scheme}/{model}/step{step}/curves.parquet"),
        critical=of_schemes("<results>/compression/{scheme}/{model}/step{step}/critical.parquet"),
    output:
        curves="<results>/tables/curves.parquet",
        curves_csv=csv("curves"),
        critical="<results>/tables/critical.parquet",
        critical_csv=csv("critical"),
    log:
        "<logs>/tables/compression.log",
    conda:
        "../envs/analysis.yaml"
    params:
        version=stage_version("gather"),
    script:
        "../scripts/compression_tables.py"
