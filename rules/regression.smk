"""Critical levels against the LLC: the points of the study, and the lines through them."""


rule points:
    """Critical level and LLC of every checkpoint side by side, for each scheme, variant, tolerance and setting."""
    input:
        llc="<results>/tables/llc.parquet",
        critical="<results>/tables/critical.parquet",
        checkpoints="<results>/tables/checkpoints.parquet",
    output:
        table="<results>/tables/points.parquet",
        csv=csv("points"),
    log:
        "<logs>/tables/points.log",
    conda:
        "../envs/analysis.yaml"
    params:
        version=stage_version("gather"),
        settings=canonical(
            {"headline": config["compression"]["headline"], "setting": STUDY.llc.first}
        ),
    script:
        "../scripts/points.py"


rule regressions:
    """Critical level on LLC, a line per model, over the config's window and over all checkpoints."""
    input:
        points="<results>/tables/points.parquet",
    output:
        table="<results>/tables/regressions.parquet",
        csv=csv("regressions"),
    log:
        "<logs>/tables/regressions.log",
    conda:
        "../envs/analysis.yaml"
    params:
        version=stage_version("gather"),
        settings=canonical({"windows": WINDOWS}),
    script:
        "../scripts/regressions.py"
