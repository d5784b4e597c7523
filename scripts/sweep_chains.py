"""Rule sweep_chains: estimate the LLC of a checkpoint at every setting of the sweep."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from tqdm import tqdm

    from smdl.corpus.blocks import load_split, read_splits
    from smdl.llc.estimate import Gates
    from smdl.llc.sampler import Memory, SamplerSettings
    from smdl.llc.sweep import Sweep, grid
    from smdl.models.loading import BlockLoss, load
    from smdl.models.same_weights import check_weights
    from smdl.tables import read_table
    from smdl.tables.study import losses_of_split
    from smdl.tables.sweep import SWEEP

    check_weights(snakemake.params.folder, snakemake.input.manifest)
    splits = read_splits(snakemake.input.splits)
    model = load(snakemake.params.folder, this.settings["dtype"])
    kept = dict(this.settings["memory"])
    compute = {name: kept.pop(name) for name in ("autocast", "checkpointing")}
    sweep = Sweep(
        BlockLoss(model, load_split(snakemake.input.blocks, splits, "sampling"), **compute),
        losses_of_split(read_table(snakemake.input.losses), "sampling"),
        SamplerSettings(**this.settings["sampler"]),
        this.settings["chains"],
        this.seed,
        Memory(**kept),
    )
    checkpoint = {"model": snakemake.wildcards.model, "step": int(snakemake.wildcards.step)}
    settings = tqdm(grid(**this.settings["grid"]), unit="setting", mininterval=5)
    gates = Gates(**this.settings["gates"])
    this.write(snakemake.output.table, SWEEP, [{**checkpoint, **sweep.row(its, gates)} for its in settings])
