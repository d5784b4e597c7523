"""Rule expectations: the verdicts on what was expected of a population."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.analysis.population.judge import judge
    from smdl.analysis.population.settings import Expectations
    from smdl.tables import read_table
    from smdl.tables.population import EXPECTATIONS

    tables = {name: read_table(path) for name, path in snakemake.input.items()}
    rows = judge(Expectations(**this.settings), tables)
    this.write_with_csv(snakemake.output.table, snakemake.output.csv, EXPECTATIONS, rows)
