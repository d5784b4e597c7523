"""Rule tables: the tables of the 1993 experiment over all data sets."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.experiments.hinton.experiment import summarise
    from smdl.experiments.hinton.tables import HINTON, HINTON_PRIOR, HINTON_RUNS, HINTON_WEIGHTS
    from smdl.tables import read_tables

    files, out = snakemake.input, snakemake.output
    runs = read_tables(files.runs)
    this.write_with_csv(out.summary, out.summary_csv, HINTON, summarise(runs))
    this.write_with_csv(out.runs, out.runs_csv, HINTON_RUNS, runs)
    this.write_with_csv(out.weights, out.weights_csv, HINTON_WEIGHTS, read_tables(files.weights))
    this.write_with_csv(out.prior, out.prior_csv, HINTON_PRIOR, read_tables(files.prior))
