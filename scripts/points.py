"""Rule points: critical level and LLC of every checkpoint side by side."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.analysis.points import points
    from smdl.compression.settings import Headline
    from smdl.tables import read_table
    from smdl.tables.study import POINTS

    headline = Headline(**this.settings["headline"])
    tables = (read_table(snakemake.input[name]) for name in ("critical", "llc", "checkpoints"))
    rows = points(*tables, headline, this.settings["setting"])
    this.write_with_csv(snakemake.output.table, snakemake.output.csv, POINTS, rows)
