"""Rule clouds: draws of the sampler on the models of two parameters."""

from smdl.runtime.job import job

with job(snakemake) as this:
    import pandas as pd

    from smdl.experiments.theory.runs import clouds
    from smdl.experiments.theory.tables import CLOUDS

    draws = [clouds(model, this.settings, this.seed) for model in this.settings["models"]]
    this.write(snakemake.output.clouds, CLOUDS, pd.concat(draws))
