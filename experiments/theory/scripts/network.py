"""Rule network: a small network, its LLC by the sampler and its cells."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.experiments.theory.runs import bits_of_network
    from smdl.experiments.theory.settings import Bits, Networks
    from smdl.experiments.theory.tables import BITS, THEORY

    networks, tolerances = Networks(**this.settings["networks"]), Bits(**this.settings["bits"])
    units, confidence = int(snakemake.wildcards.units), this.settings["confidence"]
    rows, estimate = bits_of_network(units, networks, tolerances, confidence, this.seed)
    this.write(snakemake.output.bits, BITS, rows)
    this.write(snakemake.output.theory, THEORY, [estimate])
