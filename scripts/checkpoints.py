"""Rule checkpoints: one row per checkpoint, its digest, size and loss."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.analysis.gather import checkpoints
    from smdl.tables import read_tables
    from smdl.tables.study import CHECKPOINTS

    rows = checkpoints(read_tables(snakemake.input.manifests), read_tables(snakemake.input.losses))
    this.write_with_csv(snakemake.output.table, snakemake.output.csv, CHECKPOINTS, rows)
