"""The rules of a population's statistics: one of them, of every predictor with every critical level."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.analysis.population.observations import Population, errors_of, factor_levels, predictors
    from smdl.analysis.population.settings import Expectations
    from smdl.analysis.population.statistics import Statistics
    from smdl.study.tables import declared
    from smdl.tables import read_table

    tables = {name: read_table(path) for name, path in snakemake.input.items()}
    population = Population(
        tables["observations"],
        predictors(tables["measures"], tables["checkpoints"], tables["covariates"]),
        errors_of(tables["llc"]),
        factor_levels(tables["design"], tables["covariates"]),
    )
    statistics = Statistics(population, Expectations(**this.settings), this.seed)
    rows = getattr(statistics, snakemake.params.statistic)()
    this.write_with_csv(snakemake.output.table, snakemake.output.csv, declared(snakemake.params.statistic), rows)
