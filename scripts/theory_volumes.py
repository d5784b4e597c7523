"""Rule theory_volumes: volumes of the sublevel sets of one model."""

from smdl.job import job

with job(snakemake) as this:
    from smdl.tables.theory import VOLUMES
    from smdl.theory.runs import volumes

    this.write(snakemake.output.volumes, VOLUMES, volumes(snakemake.wildcards.model, this.settings, this.seed))
