"""Rule theory_bits: the largest cells within the sublevel sets of the models."""

from smdl.job import job

with job(snakemake) as this:
    from smdl.tables import read_tables
    from smdl.tables.theory import BITS
    from smdl.theory.runs import bits_of_model

    measured = read_tables(snakemake.input.volumes).groupby("model", sort=False)
    rows = [row for model, own in measured for row in bits_of_model(model, this.settings, this.seed, own)]
    this.write(snakemake.output.bits, BITS, rows)
