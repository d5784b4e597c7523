"""The rules of the rulers: what one ruler says of a checkpoint."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.compression.registry import build as build_scheme
    from smdl.models.checkpoint import Checkpoint
    from smdl.rulers.registry import build
    from smdl.rulers.ruler import Curve
    from smdl.tables import read_table

    checkpoint = Checkpoint.of(snakemake, this.settings["dtype"])
    ruler = build(snakemake.params.ruler, this.settings["ruler"])
    curve = None
    if ruler.follows:
        followed = this.settings["curve"]
        curves = read_table(snakemake.input.curves)
        curve = Curve(
            build_scheme(ruler.follows, followed["scheme"]),
            curves[curves["variant"] == ruler.variant],
            followed["epsilons"],
            followed["dense_bits"],
        )
    found = ruler.measure(checkpoint, this.seed, curve)
    for table in ruler.tables:
        this.write(snakemake.output[table.name], table, checkpoint.rows(found[table.name]))
