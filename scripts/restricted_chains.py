"""Rule restricted_chains: sample a block of chains in which the weights of a restriction move and all others stay."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.llc.chains import sample
    from smdl.llc.restriction import restrict
    from smdl.llc.settings import Memory, Sampler
    from smdl.llc.state import StateStore
    from smdl.models.checkpoint import Checkpoint
    from smdl.tables import digest_of
    from smdl.tables.restricted import RESTRICTED_DRAWS

    checkpoint = Checkpoint.of(snakemake, this.settings["dtype"])
    memory = Memory(**this.settings["memory"])
    restriction = this.settings["restriction"]
    loss = checkpoint.loss("sampling", memory.autocast, memory.checkpointing)
    restrict(loss, restriction)
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
    named = {"restriction": restriction, "weights": sum(parameter.numel() for parameter in loss.parameters)}
    rows = checkpoint.rows(draws, setting=snakemake.wildcards.setting, **named)
    this.write(snakemake.output.draws, RESTRICTED_DRAWS, rows)
    store.clear()
