"""A population of trained models: its design, what its statistics say, and the verdicts on what was expected."""

STATISTICS = [
    "associations",
    "factors",
    "information",
    "predictions",
    "slopes",
    "reliability",
]


rule design:
    """Say of every model of the population from which run it derives, and where that lies in the design."""
    output:
        table="<results>/tables/design.parquet",
        csv=csv("design"),
    log:
        "<logs>/tables/design.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        version=stage_version("population"),
        settings=lambda wc: canonical(STUDY.design()),
    script:
        "../scripts/design.py"


rule observations:
    """Take the critical levels that the statistics are made from: admitted, at one setting of the sampler."""
    input:
        design="<results>/tables/design.parquet",
        points="<results>/tables/points.parquet",
        covariates="<results>/tables/covariates.parquet",
    output:
        table="<results>/tables/observations.parquet",
        csv=csv("observations"),
    log:
        "<logs>/tables/observations.log",
    conda:
        "../envs/analysis.yaml"
    params:
        version=stage_version("population"),
        settings=expected,
    script:
        "../scripts/observations.py"


for statistic in STATISTICS:

    rule:
        """Take one of the statistics of every predictor with every critical level."""
        name:
            statistic
        input:
            **{
                table: f"<results>/tables/{table}.parquet"
                for table in (
                    "design",
                    "observations",
                    "covariates",
                    "measures",
                    "checkpoints",
                    "llc",
                )
            },
        output:
            table=f"<results>/tables/{statistic}.parquet",
            csv=csv(statistic),
        log:
            f"<logs>/tables/{statistic}.log",
        conda:
            "../envs/analysis.yaml"
        params:
            version=stage_version("population"),
            statistic=statistic,
            seed=config["seed"],
            settings=expected,
        script:
            "../scripts/population.py"


rule expectations:
    """Judge every claim that was written down beforehand."""
    input:
        **{table: f"<results>/tables/{table}.parquet" for table in STATISTICS},
    output:
        table="<results>/tables/expectations.parquet",
        csv=csv("expectations"),
    log:
        "<logs>/tables/expectations.log",
    conda:
        "../envs/analysis.yaml"
    params:
        version=stage_version("population"),
        settings=expected,
    script:
        "../scripts/expectations.py"
