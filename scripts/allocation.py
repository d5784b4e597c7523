"""Rule allocation: bits of every matrix by every score at every budget, and what becomes of the model."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from functools import partial

    from smdl.allocation.bench import Bench
    from smdl.allocation.divergence import Reference
    from smdl.allocation.judge import judge
    from smdl.allocation.score import Evidence
    from smdl.allocation.settings import Allocation
    from smdl.models.checkpoint import Checkpoint
    from smdl.tables import read_table
    from smdl.tables.allocation import ALLOCATIONS, FRONTIER, SCORES

    checkpoint, quantizer = Checkpoint.of(snakemake, "float32"), snakemake.wildcards.quantizer
    settings, blocks = Allocation(**this.settings["allocation"]), checkpoint.blocks("calibration")
    model = checkpoint.load()
    seen, searched, unseen = (
        Reference(model, own, settings.batch_size, checkpoint.load)
        for own in (blocks, blocks[: settings.search.blocks], checkpoint.blocks("evaluation"))
    )
    bench = Bench(model, settings, quantizer, blocks, this.settings["dense_bits"])
    evidence = Evidence(
        bench,
        seen,
        read_table(snakemake.input.errors),
        read_table(snakemake.input.ladder),
        partial(checkpoint.smooth_loss, "calibration", settings.hessian_blocks),
        settings,
        this.seed,
    )
    found = judge(evidence, unseen, searched)
    for table, rows in ((FRONTIER, found.frontier), (SCORES, found.scores), (ALLOCATIONS, found.allocations)):
        this.write(snakemake.output[table.name], table, checkpoint.rows(rows, quantizer=quantizer))
