"""Gathering: the tables of the study, as Parquet for programs and as CSV for people."""


localrules:
    settings,


rule settings:
    """Write the config as it was understood, defaults included."""
    output:
        "<results>/config.yaml",
    log:
        "<logs>/settings.log",
    conda:
        "../envs/analysis.yaml"
    params:
        settings=lambda wc: canonical(config),
    script:
        "../scripts/settings.py"


rule checkpoints:
    """One row per checkpoint: its digest, size and loss."""
    input:
        manifests=of_checkpoints("<results>/reference/{model}/step{step}/manifest.parquet"),
        losses=of_checkpoints("<results>/reference/{model}/step{step}/losses.parquet"),
    output:
        table="<results>/tables/checkpoints.parquet",
        csv=csv("checkpoints"),
    log:
        "<logs>/tables/checkpoints.log",
    conda:
        "../envs/analysis.yaml"
    params:
        version=stage_version("gather"),
    script:
        "../scripts/checkpoints.py"


rule llc:
    """One row per checkpoint: the LLC with its error, control, diagnostics and status."""
    input:
        draws=chains(),
        checkpoints="<results>/tables/checkpoints.parquet",
        audit="<results>/tables/audit.parquet",
    output:
        table="<results>/tables/llc.parquet",
        csv=csv("llc"),
    log:
        "<logs>/tables/llc.log",
    conda:
        "../envs/analysis.yaml"
    params:
        version=stage_version("gather"),
        settings=canonical(
            {
                "gates": config["llc"]["gates"],
                "burn_in_test": config["llc"]["burn_in_test"],
                "sampler": {model: sampler_settings(model) for model in MODELS},
                "regression": {"windows": WINDOWS, "admit": config["regression"]["admit"]},
            }
        ),
    script:
        "../scripts/llc.py"


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


rule points:
    """Critical level and LLC of every checkpoint side by side, for each scheme, variant and tolerance."""
    input:
        llc="<results>/tables/llc.parquet",
        critical="<results>/tables/critical.parquet",
    output:
        table="<results>/tables/points.parquet",
        csv=csv("points"),
    log:
        "<logs>/tables/points.log",
    conda:
        "../envs/analysis.yaml"
    params:
        version=stage_version("gather"),
        settings=canonical({"headline": config["compression"]["headline"]}),
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
