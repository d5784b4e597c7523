"""Rule bits: the largest cells within the sublevel sets of the models."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.experiments.theory.runs import bits_of_model
    from smdl.experiments.theory.settings import Bits
    from smdl.experiments.theory.tables import BITS
    from smdl.tables import read_tables

    measured = read_tables(snakemake.input.volumes).groupby("model", sort=False)
    settings = Bits(**this.settings)
    rows = [row for model, own in measured for row in bits_of_model(model, settings, this.seed, own)]
    this.write(snakemake.output.bits, BITS, rows)
