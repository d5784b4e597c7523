"""Rule redundancy: the volume code of one model, over many sizes of data."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.experiments.theory.runs import redundancy
    from smdl.experiments.theory.settings import Redundancy
    from smdl.experiments.theory.tables import REDUNDANCY

    this.write(
        snakemake.output.redundancy,
        REDUNDANCY,
        redundancy(snakemake.wildcards.model, Redundancy(**this.settings), this.seed),
    )
