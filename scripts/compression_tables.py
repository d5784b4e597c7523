"""Rule compression_tables: all curves and all critical levels."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.tables import read_tables
    from smdl.tables.study import CRITICAL, CURVES

    files, out = snakemake.input, snakemake.output
    this.write_with_csv(out.curves, out.curves_csv, CURVES, read_tables(files.curves))
    this.write_with_csv(out.critical, out.critical_csv, CRITICAL, read_tables(files.critical))
