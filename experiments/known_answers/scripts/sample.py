"""Rule sample: sample a share of a family's models of known learning coefficient."""

from smdl.runtime.job import job

with job(snakemake) as this:
    import torch

    from smdl.experiments.known_answers.cases import cases
    from smdl.experiments.known_answers.measure import measure
    from smdl.experiments.known_answers.tables import KNOWN_ANSWERS
    from smdl.llc.settings import Gates, Sampler

    torch.set_num_threads(snakemake.threads)
    family, share = snakemake.wildcards.family, int(snakemake.wildcards.share)
    own = cases(family, this.settings["cases"], this.seed)[share :: this.settings["shares"]]
    sampler, gates = Sampler(**this.settings["sampler"]), Gates(**this.settings["gates"])
    rows = measure(family, own, sampler, this.settings["chains"], this.seed, gates)
    this.write(snakemake.output.table, KNOWN_ANSWERS, list(rows))
