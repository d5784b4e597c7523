"""The rules of the schemes: delta loss of one scheme's variants at their levels, and the critical levels."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.compression.sweep import sweep
    from smdl.corpus.blocks import load_split, read_splits
    from smdl.models.loading import load
    from smdl.models.same_weights import check_weights
    from smdl.tables import read_table
    from smdl.tables.study import CRITICAL, CURVES, losses_of_split

    check_weights(snakemake.params.folder, snakemake.input.manifest)
    splits = read_splits(snakemake.input.splits)
    curves, critical = sweep(
        load(snakemake.params.folder),
        load_split(snakemake.input.blocks, splits, "evaluation"),
        losses_of_split(read_table(snakemake.input.losses), "evaluation"),
        load_split(snakemake.input.blocks, splits, "calibration"),
        snakemake.params.scheme,
        this.settings,
    )
    here = {
        "model": snakemake.wildcards.model,
        "step": int(snakemake.wildcards.step),
        "scheme": snakemake.params.scheme,
    }
    this.write(snakemake.output.curves, CURVES, curves.assign(**here))
    this.write(snakemake.output.critical, CRITICAL, critical.assign(**here))
