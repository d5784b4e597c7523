"""The theory as a target of its own: models whose learning coefficient is known, measured in four ways.

Nothing of the study enters: its own settings (config key ``theory``), its own folder, results/theory/.
"""


rule theory_volumes:
    """Volumes of the sublevel sets of one model, by exact integration where there is one, and by splitting."""
    output:
        volumes="results/theory/volumes/{model}.parquet",
    log:
        "results/theory/logs/volumes/{model}.log",
    conda:
        "../envs/model.yaml"
    params:
        version=stage_version("theory"),
        seed=config["seed"],
        settings=canonical(config["theory"]["volumes"]),
    script:
        "../scripts/theory_volumes.py"


rule theory_redundancy:
    """The volume code of one model: data drawn, coded and decoded, and the redundancy over many sizes."""
    output:
        redundancy="results/theory/redundancy/{model}.parquet",
    log:
        "results/theory/logs/redundancy/{model}.log",
    conda:
        "../envs/model.yaml"
    params:
        version=stage_version("theory"),
        seed=config["seed"],
        settings=canonical(config["theory"]["redundancy"]),
    script:
        "../scripts/theory_redundancy.py"


rule theory_clouds:
    """Draws of the study's sampler on the models of two parameters."""
    output:
        clouds="results/theory/clouds.parquet",
    log:
        "results/theory/logs/clouds.log",
    conda:
        "../envs/model.yaml"
    params:
        version=stage_version("theory"),
        seed=config["seed"],
        settings=canonical(config["theory"]["clouds"]),
    script:
        "../scripts/theory_clouds.py"


rule theory_bits:
    """The largest cells within the sublevel sets of the models."""
    input:
        volumes=theory_tables("volumes"),
    output:
        bits="results/theory/bits/models.parquet",
    log:
        "results/theory/logs/bits/models.log",
    conda:
        "../envs/model.yaml"
    params:
        version=stage_version("theory"),
        seed=config["seed"],
        settings=canonical(config["theory"]["bits"]),
    script:
        "../scripts/theory_bits.py"


rule theory_network:
    """A small network trained to zero excess loss: its LLC by the sampler, its cells, its quantizer."""
    output:
        bits="results/theory/bits/teacher{units}.parquet",
        theory="results/theory/networks/teacher{units}.parquet",
    log:
        "results/theory/logs/networks/teacher{units}.log",
    wildcard_constraints:
        units=r"\d+",
    conda:
        "../envs/model.yaml"
    params:
        version=stage_version("theory"),
        seed=config["seed"],
        settings=canonical(
            {name: config["theory"][name] for name in ("networks", "bits", "confidence")}
        ),
    script:
        "../scripts/theory_network.py"


rule theory_tables:
    """Fitted against exact learning coefficients, and the measurements behind them."""
    input:
        volumes=theory_tables("volumes"),
        redundancy=theory_tables("redundancy"),
        clouds="results/theory/clouds.parquet",
        networks=theory_networks("networks"),
        bits=["results/theory/bits/models.parquet", *theory_networks("bits")],
    output:
        **{
            f"{table}{suffix}": f"results/theory/tables/{table}.{format}"
            for table in ("theory", "volumes", "redundancy", "bits")
            for suffix, format in (("", "parquet"), ("_csv", "csv"))
        },
    log:
        "results/theory/logs/tables.log",
    conda:
        "../envs/model.yaml"
    params:
        version=stage_version("theory"),
        settings=canonical(
            {
                name: config["theory"][name]
                for name in ("largest_multiplicity", "confidence", "clouds")
            }
        ),
    script:
        "../scripts/theory_tables.py"


rule theory_figure:
    log:
        "results/theory/logs/figures.log",
    conda:
        "../envs/model.yaml"
    params:
        version=stage_version("theory"),
        settings=canonical(
            {name: config["theory"]["clouds"]["sampler"][name] for name in ("n_beta", "gamma")}
        ),
    script:
        "../scripts/figure.py"


use rule theory_figure as theory_level_sets with:
    input:
        clouds="results/theory/clouds.parquet",
        theory="results/theory/tables/theory.parquet",
    output:
        **theory_drawn("level_sets"),
    log:
        "results/theory/logs/figures/level_sets.log",
    params:
        figure="theory_level_sets",


use rule theory_figure as theory_volume with:
    input:
        volumes="results/theory/tables/volumes.parquet",
        theory="results/theory/tables/theory.parquet",
    output:
        **theory_drawn("volume"),
    log:
        "results/theory/logs/figures/volume.log",
    params:
        figure="theory_volume",


use rule theory_figure as theory_codes with:
    input:
        redundancy="results/theory/tables/redundancy.parquet",
        theory="results/theory/tables/theory.parquet",
    output:
        **theory_drawn("codes"),
    log:
        "results/theory/logs/figures/codes.log",
    params:
        figure="theory_codes",


use rule theory_figure as theory_cells with:
    input:
        bits="results/theory/tables/bits.parquet",
    output:
        **theory_drawn("cells"),
    log:
        "results/theory/logs/figures/cells.log",
    params:
        figure="theory_cells",


rule theory:
    """All tables and figures of the theory."""
    input:
        rules.theory_tables.output,
        collect(
            "results/theory/figures/{figure}.{format}",
            figure=["level_sets", "volume", "codes", "cells"],
            format=["svg", "png"],
        ),
