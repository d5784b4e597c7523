"""Rule coding: the coding lengths of a checkpoint, and its two-part totals along the quantization curve."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.compression.registry import build
    from smdl.compression.weights import Weights
    from smdl.models.loading import load
    from smdl.models.same_weights import check_weights
    from smdl.rulers.coding import curve_lengths, stated_lengths, two_part_totals
    from smdl.rulers.lengths import Coder
    from smdl.tables import read_table
    from smdl.tables.coding import CODING, TWO_PART
    from smdl.tables.study import losses_of_split

    check_weights(snakemake.params.folder, snakemake.input.manifest)
    here = {"model": snakemake.wildcards.model, "step": int(snakemake.wildcards.step)}
    weights, coder = Weights(load(snakemake.params.folder)), Coder(**this.settings["coder"])
    curves = read_table(snakemake.input.curves)
    curve = curves[curves["variant"] == this.settings["variant"]]
    loss = losses_of_split(read_table(snakemake.input.losses), "evaluation").mean()
    lengths = curve_lengths(weights, curve, build("quantize", this.settings["scheme"]), coder)
    totals = two_part_totals(lengths, loss, this.settings["tokens"], this.settings["epsilons"])
    this.write(snakemake.output.coding, CODING, stated_lengths(weights, this.settings["levels"], coder).assign(**here))
    this.write(snakemake.output.two_part, TWO_PART, totals.assign(**here))
