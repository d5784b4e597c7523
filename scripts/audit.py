"""Rule audit: what was found about every checkpoint's weights, and which ones the regressions leave out."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.models.audit import audit, stop
    from smdl.models.settings import Audit
    from smdl.tables import empty, read_table, read_tables
    from smdl.tables.audit import AUDIT, SCREENING

    settings = Audit(**this.settings)
    screening = snakemake.input.get("screening")
    rows = audit(
        read_tables(snakemake.input.manifests),
        read_tables(snakemake.input.losses),
        read_table(screening) if screening else empty(SCREENING),
        settings.limits,
    )
    if settings.action == "stop":
        stop(rows)
    this.write_with_csv(snakemake.output.table, snakemake.output.csv, AUDIT, rows)
