"""Rule design: where every model of the population lies in its design."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.tables.population import DESIGN

    this.write_with_csv(snakemake.output.table, snakemake.output.csv, DESIGN, this.settings)
