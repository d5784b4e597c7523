"""Rule points: critical level and LLC of every checkpoint side by side."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.analysis.points import points
    from smdl.compression.settings import Headline
    from smdl.tables import read_table
    from smdl.tables.study import POINTS

    headline = Headline(**this.settings["headline"])
    rows = points(
        read_table(snakemake.input.critical), read_table(snakemake.input.llc), headline, this.settings["setting"]
    )
    this.write_with_csv(snakemake.output.table, snakemake.output.csv, POINTS, rows)
