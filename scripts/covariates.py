"""Rule covariates: what distinguishes the checkpoints."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.analysis.gather import covariates
    from smdl.tables import empty, read_tables
    from smdl.tables.study import COVARIATES

    made = read_tables(snakemake.input.made) if snakemake.input.made else empty(COVARIATES)
    this.write_with_csv(snakemake.output.table, snakemake.output.csv, COVARIATES, covariates(this.settings, made))
