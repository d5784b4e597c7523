"""Rule clouds: draws of the sampler on the models of two parameters."""

from smdl.runtime.job import job

with job(snakemake) as this:
    import pandas as pd

    from smdl.experiments.theory.runs import clouds
    from smdl.experiments.theory.settings import Clouds
    from smdl.experiments.theory.tables import CLOUDS

    settings = Clouds(**this.settings)
    draws = [clouds(model, settings, this.seed) for model in settings.models]
    this.write(snakemake.output.clouds, CLOUDS, pd.concat(draws))
