"""Rule regressions: critical level on LLC, a line per model, over the config's window and over all checkpoints."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.analysis.regression import regressions
    from smdl.tables import read_table
    from smdl.tables.study import REGRESSIONS

    rows = regressions(read_table(snakemake.input.points), **this.settings)
    this.write_with_csv(snakemake.output.table, snakemake.output.csv, REGRESSIONS, rows)
