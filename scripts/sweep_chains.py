"""Rule sweep_chains: estimate the LLC of a checkpoint at every setting of the sweep."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from tqdm import tqdm

    from smdl.llc.estimate import Gates
    from smdl.llc.sampler import Memory, SamplerSettings
    from smdl.llc.sweep import Sweep, grid
    from smdl.models.checkpoint import Checkpoint
    from smdl.tables.sweep import SWEEP

    checkpoint = Checkpoint.of(snakemake, this.settings["dtype"])
    memory = dict(this.settings["memory"])
    sweep = Sweep(
        checkpoint.loss("sampling", memory.pop("autocast"), memory.pop("checkpointing")),
        checkpoint.losses("sampling"),
        SamplerSettings(**this.settings["sampler"]),
        this.settings["chains"],
        this.seed,
        Memory(**memory),
    )
    settings = tqdm(grid(**this.settings["grid"]), unit="setting", mininterval=5)
    gates = Gates(**this.settings["gates"])
    this.write(snakemake.output.table, SWEEP, checkpoint.rows([sweep.row(setting, gates) for setting in settings]))
