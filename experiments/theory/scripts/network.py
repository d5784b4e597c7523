"""Rule network: a small network, its LLC by the sampler and its cells."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.experiments.theory.runs import bits_of_network
    from smdl.experiments.theory.tables import BITS, THEORY

    rows, estimate = bits_of_network(int(snakemake.wildcards.units), this.settings, this.seed)
    this.write(snakemake.output.bits, BITS, rows)
    this.write(snakemake.output.theory, THEORY, [estimate])
