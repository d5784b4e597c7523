"""Rule theory_redundancy: the volume code of one model, over many sizes of data."""

from smdl.job import job

with job(snakemake) as this:
    from smdl.tables.theory import REDUNDANCY
    from smdl.theory.runs import redundancy

    this.write(snakemake.output.redundancy, REDUNDANCY, redundancy(snakemake.wildcards.model, this.settings, this.seed))
