"""Rule reference: the manifest of a checkpoint, and the loss of every sampling and evaluation block at it."""

from smdl.job import job

with job(snakemake) as this:
    import numpy as np

    from smdl.corpus import load_split, read_splits
    from smdl.models import block_losses, check_corpus, load, tensor_manifest
    from smdl.tables.study import LOSSES, MANIFEST

    here = {"model": snakemake.wildcards.model, "step": int(snakemake.wildcards.step)}
    manifest = [{**here, **row} for row in tensor_manifest(snakemake.params.folder)]
    model = load(snakemake.params.folder, this.settings["dtype"])
    check_corpus(model, np.load(snakemake.input.blocks, mmap_mode="r"))
    splits = read_splits(snakemake.input.splits)
    losses = [
        {**here, "split": split, "block": block, "loss": loss}
        for split in ("sampling", "evaluation")
        for block, loss in enumerate(
            block_losses(model, load_split(snakemake.input.blocks, splits, split), this.settings["batch_size"])
        )
    ]
    this.write(snakemake.output.losses, LOSSES, losses)
    this.write(snakemake.output.manifest, MANIFEST, manifest)
