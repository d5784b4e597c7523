"""Rule tables: all cases in one table, and how near they come to the truth."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.experiments.known_answers.summary import summary
    from smdl.experiments.known_answers.tables import KNOWN_ANSWERS, SUMMARY
    from smdl.tables import read_tables

    rows = read_tables(snakemake.input.shares)
    this.write_with_csv(snakemake.output.table, snakemake.output.csv, KNOWN_ANSWERS, rows)
    this.write_with_csv(snakemake.output.summary, snakemake.output.summary_csv, SUMMARY, summary(rows))
