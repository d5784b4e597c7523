"""Rule calibration_tables: all cases in one table, and how near they come to the truth."""

from smdl.job import job

with job(snakemake) as this:
    from smdl.calibration.summary import summary
    from smdl.tables import read_tables
    from smdl.tables.calibration import CALIBRATION, SUMMARY

    rows = read_tables(snakemake.input.shares)
    this.write_with_csv(snakemake.output.table, snakemake.output.csv, CALIBRATION, rows)
    this.write_with_csv(snakemake.output.summary, snakemake.output.summary_csv, SUMMARY, summary(rows))
