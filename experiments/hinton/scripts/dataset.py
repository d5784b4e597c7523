"""Rule dataset: every method of the 1993 experiment on one synthetic data set."""

from smdl.runtime.job import job

with job(snakemake) as this:
    import torch

    from smdl.experiments.hinton.experiment import run
    from smdl.experiments.hinton.settings import Hinton
    from smdl.experiments.hinton.tables import HINTON_PRIOR, HINTON_RUNS, HINTON_WEIGHTS

    torch.set_num_threads(snakemake.threads)
    runs, weights, prior = run(Hinton(seed=this.seed, **this.settings), int(snakemake.wildcards.dataset))
    this.write(snakemake.output.runs, HINTON_RUNS, runs)
    this.write(snakemake.output.weights, HINTON_WEIGHTS, weights)
    this.write(snakemake.output.prior, HINTON_PRIOR, prior)
