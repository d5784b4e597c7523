"""The rules of the schemes: delta loss of one scheme's variants at their levels, and the critical levels."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.compression.settings import SETTINGS, Measurement
    from smdl.compression.sweep import sweep
    from smdl.models.checkpoint import Checkpoint
    from smdl.settings.base import picked
    from smdl.tables.study import CRITICAL, CURVES

    checkpoint = Checkpoint.of(snakemake, this.settings["dtype"])
    scheme = snakemake.params.scheme
    curves, critical = sweep(
        checkpoint.load(),
        checkpoint.blocks("evaluation"),
        checkpoint.losses("evaluation"),
        checkpoint.blocks("calibration"),
        picked(Measurement, this.settings),
        picked(SETTINGS[scheme], this.settings),
    )
    this.write(snakemake.output.curves, CURVES, checkpoint.rows(curves, scheme=scheme))
    this.write(snakemake.output.critical, CRITICAL, checkpoint.rows(critical, scheme=scheme))
