"""Rule proxies: how far byte compressors squeeze a checkpoint, its sparsity and its norms."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.models.loading import stored_weights
    from smdl.models.same_weights import check_weights
    from smdl.rulers.proxies import proxies
    from smdl.tables.coding import PROXIES

    check_weights(snakemake.params.folder, snakemake.input.manifest)
    here = {"model": snakemake.wildcards.model, "step": int(snakemake.wildcards.step)}
    found = proxies(stored_weights(snakemake.params.folder), this.settings["levels"])
    this.write(snakemake.output.table, PROXIES, [{**here, "proxy": name, "value": v} for name, v in found.items()])
