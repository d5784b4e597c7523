"""Rule reference: the manifest of a checkpoint, and the loss of every sampling and evaluation block at it."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.corpus.blocks import load_split, read_splits
    from smdl.models.loading import tensor_manifest
    from smdl.models.reference import reference_losses
    from smdl.tables.study import LOSSES, MANIFEST

    here = {"model": snakemake.wildcards.model, "step": int(snakemake.wildcards.step)}
    manifest = [{**here, **row} for row in tensor_manifest(snakemake.params.folder)]
    splits = read_splits(snakemake.input.splits)
    blocks = {split: load_split(snakemake.input.blocks, splits, split) for split in ("sampling", "evaluation")}
    found = reference_losses(snakemake.params.folder, blocks, **this.settings)
    losses = [
        {**here, "split": split, "block": block, "loss": loss}
        for split, own in found.items()
        for block, loss in enumerate(own)
    ]
    this.write(snakemake.output.losses, LOSSES, losses)
    this.write(snakemake.output.manifest, MANIFEST, manifest)
