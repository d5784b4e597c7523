"""Rule tables: fitted against exact learning coefficients, and the measurements behind them."""

from smdl.runtime.job import job

with job(snakemake) as this:
    import pandas as pd

    from smdl.experiments.theory.runs import theory
    from smdl.experiments.theory.settings import Clouds
    from smdl.experiments.theory.tables import BITS, REDUNDANCY, THEORY, VOLUMES
    from smdl.tables import read_tables

    files, out = snakemake.input, snakemake.output
    measured, coded, drawn = (read_tables(names) for names in (files.volumes, files.redundancy, [files.clouds]))
    settings = dict(this.settings)
    sampler = Clouds(**settings.pop("clouds")).sampler
    fitted = pd.DataFrame(theory(measured, coded, drawn, sampler, **settings))
    this.write_with_csv(out.theory, out.theory_csv, THEORY, pd.concat([fitted, read_tables(files.networks)]))
    this.write_with_csv(out.volumes, out.volumes_csv, VOLUMES, measured)
    this.write_with_csv(out.redundancy, out.redundancy_csv, REDUNDANCY, coded)
    this.write_with_csv(out.bits, out.bits_csv, BITS, read_tables(files.bits))
