"""Rulers: what is measured of every checkpoint beside its critical levels, and the table that compares them.

One rule per declared ruler that has tables, named after it, with what its class in smdl/rulers declares.
"""

# A ruler that follows a scheme's curve is taken where some model has the scheme.
TAKEN = [
    ruler
    for ruler, own in RULERS.items()
    if not own.tables or any(ruler in taken_of(model) for model in MODELS)
]


for ruler, declared in DECLARED_RULERS.items():
    if declared.tables:

        rule:
            """Take one ruler of a checkpoint."""
            name:
                ruler
            input:
                **OF_CHECKPOINT,
                **read_by(ruler),
            output:
                **ruled(ruler),
            log:
                f"<logs>/{ruler}/{{model}}/step{{step}}.log",
            conda:
                "../envs/model.yaml"
            resources:
                **ruler_asks(ruler),
            params:
                version=stage_version("rulers"),
                ruler=ruler,
                ruler_version=declared.version,
                seed=config["seed"] if declared.random else None,
                folder=checkpoint,
                settings=ruler_settings(ruler),
            script:
                "../scripts/ruler.py"


rule rulers:
    """Every measure of complexity against every critical level, within and across models."""
    input:
        **{
            table: [
                path.format(model=model, step=step)
                for model, step in CHECKPOINTS
                if ruler in taken_of(model)
            ]
            for ruler in TAKEN
            for table, path in ruled(ruler).items()
        },
        **{table: f"<results>/tables/{table}.parquet" for table in (*GATHERED, "critical")},
    output:
        rulers="<results>/tables/rulers.parquet",
        rulers_csv=csv("rulers"),
        measures="<results>/tables/measures.parquet",
        measures_csv=csv("measures"),
    log:
        "<logs>/tables/rulers.log",
    conda:
        "../envs/analysis.yaml"
    params:
        version=stage_version("gather"),
        settings=canonical(
            {
                "rulers": {ruler: DECLARED_RULERS[ruler].version for ruler in TAKEN},
                "admit": config["regression"]["admit"],
                "bootstrap": {
                    "resamples": config["rulers"]["bootstrap_resamples"],
                    "seed": config["seed"],
                },
            }
        ),
    script:
        "../scripts/rulers.py"
