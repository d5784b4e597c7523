"""The sampler against known answers: models whose learning coefficient has a closed form."""


localrules:
    calibration,


rule calibration:
    """The calibration, whatever the study."""
    input:
        collect(
            "results/calibration/tables/{table}.csv",
            table=["calibration", "calibration_summary"],
        ),
        collect("results/calibration/figures/calibration.{format}", format=["svg", "png"]),


rule calibrate:
    """Sample a share of a family's models."""
    output:
        table="results/calibration/shares/{family}/share{share}.parquet",
    log:
        "results/calibration/logs/calibrate/{family}/share{share}.log",
    conda:
        "../envs/model.yaml"
    threads: 1
    params:
        version=stage_version("calibration"),
        seed=config["calibration"]["seed"],
        settings=lambda wc: canonical(calibration_settings(wc.family)),
    script:
        "../scripts/calibrate.py"


rule calibration_tables:
    """All cases in one table, and how near they come to the truth."""
    input:
        shares=[
            f"results/calibration/shares/{family}/share{share}.parquet"
            for family, its in config["calibration"]["families"].items()
            for share in range(its["shares"])
        ],
    output:
        table="results/calibration/tables/calibration.parquet",
        csv="results/calibration/tables/calibration.csv",
        summary="results/calibration/tables/calibration_summary.parquet",
        summary_csv="results/calibration/tables/calibration_summary.csv",
    log:
        "results/calibration/logs/calibration_tables.log",
    conda:
        "../envs/analysis.yaml"
    params:
        version=stage_version("calibration"),
    script:
        "../scripts/calibration.py"


use rule figure as calibration_figure with:
    input:
        calibration="results/calibration/tables/calibration.parquet",
    output:
        svg="results/calibration/figures/calibration.svg",
        png="results/calibration/figures/calibration.png",
    log:
        "results/calibration/logs/calibration_figure.log",
    params:
        figure="calibration",
