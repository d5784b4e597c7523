"""The experiment of Hinton and van Camp (1993) on synthetic data of the same shape: target hinton."""

HINTON = {key: value for key, value in config["hinton"].items() if key != "datasets"}
HINTON_TABLES = {
    "summary": "results/hinton/tables/hinton",
    "runs": "results/hinton/tables/runs",
    "weights": "results/hinton/tables/weights",
    "prior": "results/hinton/tables/prior",
}


localrules:
    hinton,


rule hinton:
    """The experiment's tables and figures."""
    input:
        expand("{table}.{format}", table=HINTON_TABLES.values(), format=["parquet", "csv"]),
        expand(
            "results/hinton/figures/{figure}.{format}",
            figure=["hinton_weights", "hinton_prior"],
            format=["svg", "png"],
        ),


rule hinton_dataset:
    """Every method on one data set: all restarts, and the weights and prior of the shortest description."""
    output:
        runs="results/hinton/datasets/{dataset}/runs.parquet",
        weights="results/hinton/datasets/{dataset}/weights.parquet",
        prior="results/hinton/datasets/{dataset}/prior.parquet",
    log:
        "results/hinton/logs/dataset/{dataset}.log",
    conda:
        "../envs/model.yaml"
    threads: 1
    params:
        version=stage_version("hinton"),
        settings=canonical(HINTON),
    script:
        "../scripts/hinton_dataset.py"


rule hinton_tables:
    """All runs, weights and priors, and the methods side by side."""
    input:
        **{
            table: expand(
                "results/hinton/datasets/{dataset}/{table}.parquet",
                dataset=range(config["hinton"]["datasets"]),
                table=table,
            )
            for table in ("runs", "weights", "prior")
        },
    output:
        **{name: f"{table}.parquet" for name, table in HINTON_TABLES.items()},
        **{f"{name}_csv": f"{table}.csv" for name, table in HINTON_TABLES.items()},
    log:
        "results/hinton/logs/tables.log",
    conda:
        "../envs/model.yaml"
    params:
        version=stage_version("hinton"),
    script:
        "../scripts/hinton_tables.py"


use rule figure as hinton_weights with:
    input:
        runs=f"{HINTON_TABLES['runs']}.parquet",
        weights=f"{HINTON_TABLES['weights']}.parquet",
    output:
        svg="results/hinton/figures/hinton_weights.svg",
        png="results/hinton/figures/hinton_weights.png",
    log:
        "results/hinton/logs/figures/hinton_weights.log",
    params:
        figure="hinton_weights",
        settings=canonical({"columns": 11}),


use rule figure as hinton_prior with:
    input:
        runs=f"{HINTON_TABLES['runs']}.parquet",
        weights=f"{HINTON_TABLES['weights']}.parquet",
        prior=f"{HINTON_TABLES['prior']}.parquet",
    output:
        svg="results/hinton/figures/hinton_prior.svg",
        png="results/hinton/figures/hinton_prior.png",
    log:
        "results/hinton/logs/figures/hinton_prior.log",
    params:
        figure="hinton_prior",
        settings=canonical({}),
