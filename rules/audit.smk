"""Whether checkpoints are what their names say: before they are downloaded, from a hub's listing, and once measured."""


rule listing:
    """Ask the hubs which files each checkpoint has, and pin every branch to the commit it means now."""
    output:
        table="<results>/audit/listing.parquet",
        csv="<results>/audit/listing.csv",
    log:
        "<logs>/audit/listing.log",
    retries: 2
    localrule: True
    conda:
        "../envs/model.yaml"
    params:
        settings=lambda wc: canonical(
            {
                model: {
                    "repo": its.repo,
                    "revision": its.revision,
                    "steps": its.steps,
                    "labels": its.labels,
                    "schemes": [name for name in its.schemes if name in CHOOSY],
                }
                for model, its in MODELS.items()
                if its.listed
            }
        ),
    script:
        "../scripts/listing.py"


rule screening:
    """Find the checkpoints that serve another one's files, from the hubs' digests alone."""
    input:
        listing="<results>/audit/listing.parquet",
    output:
        table="<results>/audit/screening.parquet",
        csv="<results>/audit/screening.csv",
    log:
        "<logs>/audit/screening.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        version=stage_version("audit"),
        settings=canonical(config["audit"]),
    script:
        "../scripts/screening.py"


rule audit:
    """Hold all checkpoints against each other: equal weights, odd tensors, losses out of order."""
    input:
        unpack(screening),
        manifests=of_checkpoints("<results>/reference/{model}/step{step}/manifest.parquet"),
        losses=of_checkpoints("<results>/reference/{model}/step{step}/losses.parquet"),
    output:
        table="<results>/tables/audit.parquet",
        csv=csv("audit"),
    log:
        "<logs>/tables/audit.log",
    conda:
        "../envs/analysis.yaml"
    params:
        version=stage_version("audit"),
        settings=canonical(config["audit"]),
    script:
        "../scripts/audit.py"
