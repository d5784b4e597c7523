"""Rule llc_chains: sample a block of chains around a checkpoint, each beside its control."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.llc.chains import sample
    from smdl.llc.settings import Memory, Sampler
    from smdl.llc.state import StateStore
    from smdl.models.checkpoint import Checkpoint
    from smdl.tables import digest_of
    from smdl.tables.study import DRAWS

    checkpoint = Checkpoint.of(snakemake, this.settings["dtype"])
    memory = Memory(**this.settings["memory"])
    loss = checkpoint.loss("sampling", memory.autocast, memory.checkpointing)
    decisive = (this.settings, this.seed, this.stage_version, checkpoint.digest, checkpoint.splits[0].sha256)
    store = StateStore(snakemake.params.state, digest_of(*decisive), snakemake.params.save_every)
    draws = sample(
        loss,
        checkpoint.losses("sampling"),
        Sampler(**this.settings["sampler"]),
        this.settings["chains"],
        this.seed,
        store,
        memory,
        this.settings["control"],
    )
    this.write(snakemake.output.draws, DRAWS, checkpoint.rows(draws, setting=snakemake.wildcards.setting))
    store.clear()
