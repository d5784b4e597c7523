"""Rule points: critical level and LLC of every checkpoint side by side."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.analysis.points import points
    from smdl.tables import read_table
    from smdl.tables.study import POINTS

    rows = points(read_table(snakemake.input.critical), read_table(snakemake.input.llc), **this.settings)
    this.write_with_csv(snakemake.output.table, snakemake.output.csv, POINTS, rows)
