"""Rule exclusions: every estimate that is not plainly in order."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.report.exclusions import exclusions
    from smdl.tables import read_table
    from smdl.tables.report import EXCLUSIONS

    rows = exclusions(read_table(snakemake.input.llc), read_table(snakemake.input.points))
    this.write_with_csv(snakemake.output.table, snakemake.output.csv, EXCLUSIONS, rows)
