"""Rule theory_clouds: draws of the sampler on the models of two parameters."""

from smdl.job import job

with job(snakemake) as this:
    import pandas as pd

    from smdl.tables.theory import CLOUDS
    from smdl.theory.runs import clouds

    draws = [clouds(model, this.settings, this.seed) for model in this.settings["models"]]
    this.write(snakemake.output.clouds, CLOUDS, pd.concat(draws))
