"""Rule bits_back: the description length of a checkpoint by noisy weights."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.corpus.blocks import load_split, read_splits
    from smdl.models.loading import BlockLoss, load
    from smdl.models.same_weights import check_weights
    from smdl.rulers.bits_back import describe_checkpoint
    from smdl.tables.coding import BITS_BACK

    check_weights(snakemake.params.folder, snakemake.input.manifest)
    blocks = load_split(snakemake.input.blocks, read_splits(snakemake.input.splits), "evaluation")
    loss = BlockLoss(load(snakemake.params.folder, this.settings["dtype"]), blocks)
    row = describe_checkpoint(loss, this.settings["components"], this.settings["noise"], this.seed)
    here = {"model": snakemake.wildcards.model, "step": int(snakemake.wildcards.step)}
    this.write(snakemake.output.table, BITS_BACK, [{**here, **row}])
