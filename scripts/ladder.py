"""Rule ladder: the LLC of every matrix alone, at the published setting and on a ladder of n_beta."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.allocation.kept import Kept
    from smdl.allocation.ladder import ladders
    from smdl.allocation.settings import Allocation
    from smdl.models.checkpoint import Checkpoint
    from smdl.tables.allocation import LADDER

    checkpoint = Checkpoint.of(snakemake, "float32")
    settings, loss = Allocation(**this.settings["allocation"]), checkpoint.loss("sampling")
    decisive = (this.settings, this.stage_version, this.seed, checkpoint.digest, checkpoint.splits[0].sha256)
    rows = ladders(loss, checkpoint.losses("sampling"), settings, this.seed, Kept(snakemake.params.kept, *decisive))
    this.write(snakemake.output.table, LADDER, checkpoint.rows(rows))
