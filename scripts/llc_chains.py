"""Rule llc_chains: sample a block of chains around a checkpoint, each beside its control."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.corpus.blocks import load_split, read_splits
    from smdl.llc.chains import block, sample
    from smdl.llc.sampler import Memory, SamplerSettings
    from smdl.llc.state import StateStore
    from smdl.models.loading import BlockLoss, load
    from smdl.models.same_weights import check_weights
    from smdl.tables import digest_of, read_table
    from smdl.tables.study import DRAWS, losses_of_split, weights_digest

    check_weights(snakemake.params.folder, snakemake.input.manifest)
    splits = read_splits(snakemake.input.splits)
    model = load(snakemake.params.folder, this.settings["dtype"])
    kept = dict(this.settings["memory"])
    compute = {name: kept.pop(name) for name in ("autocast", "checkpointing")}
    loss = BlockLoss(model, load_split(snakemake.input.blocks, splits, "sampling"), **compute)
    decisive = (this.settings, this.seed, this.stage_version, weights_digest(read_table(snakemake.input.manifest)))
    store = StateStore(snakemake.params.state, digest_of(*decisive, splits[0].sha256), snakemake.params.save_every)
    draws = sample(
        loss,
        losses_of_split(read_table(snakemake.input.losses), "sampling"),
        SamplerSettings(**this.settings["sampler"]),
        block(this.settings["chains"], this.settings["control"]),
        this.seed,
        store,
        Memory(**kept),
    )
    draws = draws.assign(model=snakemake.wildcards.model, step=int(snakemake.wildcards.step))
    this.write(snakemake.output.draws, DRAWS, draws)
    store.clear()
