"""Rule observations: the critical levels that a population's statistics are made from."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.analysis.population.observations import observations
    from smdl.analysis.population.settings import Expectations
    from smdl.tables import read_table
    from smdl.tables.population import OBSERVATIONS

    expected = Expectations(**this.settings)
    tables = (read_table(snakemake.input[name]) for name in ("design", "points", "covariates"))
    rows = observations(*tables, expected.setting, expected.families)
    this.write_with_csv(snakemake.output.table, snakemake.output.csv, OBSERVATIONS, rows)
