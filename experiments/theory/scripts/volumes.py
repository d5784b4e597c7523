"""Rule volumes: volumes of the sublevel sets of one model."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.experiments.theory.runs import volumes
    from smdl.experiments.theory.settings import Volumes
    from smdl.experiments.theory.tables import VOLUMES

    this.write(
        snakemake.output.volumes, VOLUMES, volumes(snakemake.wildcards.model, Volumes(**this.settings), this.seed)
    )
