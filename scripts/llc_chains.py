"""Rules llc_chains, restricted_chains: sample a block of chains around a checkpoint, each beside its control.

Under a restriction a part of the weights moves and all others stay.
"""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.llc.chains import sample
    from smdl.llc.restriction import restrict
    from smdl.llc.settings import Memory, Sampler
    from smdl.llc.state import StateStore
    from smdl.models.checkpoint import Checkpoint
    from smdl.runtime.cluster.warning import warning_seconds
    from smdl.tables import digest_of
    from smdl.tables.restricted import RESTRICTED_DRAWS
    from smdl.tables.study import DRAWS

    checkpoint = Checkpoint.of(snakemake, this.settings["dtype"])
    memory = Memory(**this.settings["memory"])
    loss = checkpoint.loss("sampling", memory.autocast, memory.checkpointing)
    table, named = DRAWS, {"setting": snakemake.wildcards.setting}
    if restriction := this.settings.get("restriction"):
        restrict(loss, restriction)
        weights = sum(parameter.numel() for parameter in loss.parameters)
        table, named = RESTRICTED_DRAWS, {**named, "restriction": restriction, "weights": weights}
    decisive = (this.settings, this.seed, this.stage_version, checkpoint.digest, checkpoint.splits[0].sha256)
    grace = warning_seconds(snakemake.resources.get("slurm_extra", ""))
    store = StateStore(snakemake.params.state, digest_of(*decisive), snakemake.params.save_every, grace)
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
    this.write(snakemake.output.draws, table, checkpoint.rows(draws, **named))
