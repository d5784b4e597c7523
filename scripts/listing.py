"""Rule listing: what the hub has for every checkpoint, pinned to commits, before anything is downloaded."""

from smdl.runtime.job import job

with job(snakemake, network=True) as this:
    from smdl.sources.listing import Listed, listing
    from smdl.tables.audit import LISTING

    models = {name: Listed(**asked) for name, asked in this.settings.items()}
    this.write_with_csv(snakemake.output.table, snakemake.output.csv, LISTING, listing(models))
