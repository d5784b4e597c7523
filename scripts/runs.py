"""Rule runs: how every file of the study came about, from the provenance that each carries."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.report.runs import runs
    from smdl.tables.report import RUNS

    rows = runs(list(snakemake.input), snakemake.params.folder)
    this.write_with_csv(snakemake.output.table, snakemake.output.csv, RUNS, rows)
