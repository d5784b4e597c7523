"""Rule tensor_errors: one matrix quantized at a time, at every number of bits."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.allocation.bench import Bench
    from smdl.allocation.database import tensor_errors
    from smdl.allocation.divergence import Reference
    from smdl.allocation.kept import Kept
    from smdl.allocation.settings import Allocation
    from smdl.models.checkpoint import Checkpoint
    from smdl.tables.allocation import TENSOR_ERRORS

    checkpoint, quantizer = Checkpoint.of(snakemake, "float32"), snakemake.wildcards.quantizer
    settings, blocks = Allocation(**this.settings["allocation"]), checkpoint.blocks("calibration")
    model = checkpoint.load()
    reference = Reference(model, blocks, settings.batch_size, checkpoint.load)
    bench = Bench(model, settings, quantizer, blocks, this.settings["dense_bits"])
    decisive = (this.settings, this.stage_version, checkpoint.digest, checkpoint.splits[0].sha256, quantizer)
    rows = tensor_errors(bench, reference, Kept(snakemake.params.kept, *decisive))
    this.write(snakemake.output.table, TENSOR_ERRORS, checkpoint.rows(rows, quantizer=quantizer))
