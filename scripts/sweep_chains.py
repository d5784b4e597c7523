"""Rule sweep_chains: estimate the LLC of a checkpoint at every setting of the sweep."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from tqdm import tqdm

    from smdl.llc.settings import Gates, Grid, Memory, Sampler
    from smdl.models.checkpoint import Checkpoint
    from smdl.rulers.second_order.spectrum import largest_eigenvalue
    from smdl.sweep.estimates import Sweep, settings_of
    from smdl.tables.sweep import SWEEP

    HESSIAN_BLOCKS, LANCZOS_STEPS = 8, 12
    checkpoint = Checkpoint.of(snakemake, this.settings["dtype"])
    smooth = checkpoint.smooth_loss("sampling", HESSIAN_BLOCKS)
    stiffest = largest_eigenvalue(smooth, HESSIAN_BLOCKS, LANCZOS_STEPS, this.seed)
    del smooth
    memory = Memory(**this.settings["memory"])
    sweep = Sweep(
        checkpoint.loss("sampling", memory.autocast, memory.checkpointing),
        checkpoint.losses("sampling"),
        Sampler(**this.settings["sampler"]),
        this.settings["chains"],
        this.seed,
        stiffest,
        memory,
    )
    settings = tqdm(settings_of(Grid(**this.settings["grid"])), unit="setting", mininterval=5)
    gates = Gates(**this.settings["gates"])
    this.write(snakemake.output.table, SWEEP, checkpoint.rows([sweep.row(setting, gates) for setting in settings]))
