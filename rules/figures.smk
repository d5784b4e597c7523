"""The figures of the study, each from finished tables."""

FIGURE_SETTINGS = {
    "headline": config["compression"]["headline"],
    "windows": WINDOWS,
    "admit": config["regression"]["admit"],
}


rule figure:
    log:
        "<logs>/figure.log",
    conda:
        "../envs/analysis.yaml"
    params:
        version=stage_version("figures"),
        settings=canonical(FIGURE_SETTINGS),
    script:
        "../scripts/figure.py"


use rule figure as delta_loss with:
    input:
        curves="<results>/tables/curves.parquet",
        critical="<results>/tables/critical.parquet",
    output:
        **drawn("delta_loss"),
    log:
        "<logs>/figures/delta_loss.log",
    params:
        figure="delta_loss",


use rule figure as critical_bits with:
    input:
        llc="<results>/tables/llc.parquet",
        critical="<results>/tables/critical.parquet",
        regressions="<results>/tables/regressions.parquet",
    output:
        **drawn("critical_bits"),
    log:
        "<logs>/figures/critical_bits.log",
    params:
        figure="critical_bits",


use rule figure as training with:
    input:
        checkpoints="<results>/tables/checkpoints.parquet",
        llc="<results>/tables/llc.parquet",
    output:
        **drawn("training"),
    log:
        "<logs>/figures/training.log",
    params:
        figure="training",


use rule figure as overview with:
    input:
        regressions="<results>/tables/regressions.parquet",
    output:
        **drawn("overview"),
    log:
        "<logs>/figures/overview.log",
    params:
        figure="overview",


use rule figure as sizes with:
    input:
        critical="<results>/tables/critical.parquet",
    output:
        **drawn("sizes"),
    log:
        "<logs>/figures/sizes.log",
    params:
        figure="sizes",


use rule figure as scheme with:
    input:
        curves="<results>/tables/curves.parquet",
        critical="<results>/tables/critical.parquet",
        llc="<results>/tables/llc.parquet",
        regressions="<results>/tables/regressions.parquet",
    output:
        **drawn("schemes/{scheme}"),
    log:
        "<logs>/figures/schemes/{scheme}.log",
    params:
        figure="scheme",
        settings=lambda wc: canonical({**FIGURE_SETTINGS, "scheme": wc.scheme}),


use rule figure as traces with:
    input:
        draws=of_checkpoints(
            "<results>/draws/{model}/step{step}/block{block}.parquet", block=BLOCKS
        ),
    output:
        **drawn("traces"),
    log:
        "<logs>/figures/traces.log",
    params:
        figure="traces",


use rule figure as findings with:
    input:
        audit="<results>/tables/audit.parquet",
    output:
        **drawn("findings"),
    log:
        "<logs>/figures/findings.log",
    params:
        figure="findings",
