"""Rule screening: the checkpoints whose listed files already show that they are not what their names say."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.models.audit import screen, stop
    from smdl.models.settings import Audit
    from smdl.tables import read_table
    from smdl.tables.audit import SCREENING

    settings = Audit(**this.settings)
    rows = screen(read_table(snakemake.input.listing), settings.limits)
    if settings.action == "stop":
        stop(rows)
    this.write_with_csv(snakemake.output.table, snakemake.output.csv, SCREENING, rows)
