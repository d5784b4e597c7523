"""Rule download: one checkpoint from its hub, only the files that are needed, at the commit that was listed."""

from smdl.runtime.job import job

with job(snakemake, network=True) as this:
    from smdl.sources.hub import check_downloaded, download, note_source, pinned, weight_files
    from smdl.sources.pickles import to_safetensors
    from smdl.tables import read_table

    at = pinned(read_table(snakemake.input.listing), snakemake.wildcards.model, int(snakemake.wildcards.step))
    download(at, weight_files(at), snakemake.output.weights, f"{snakemake.output.weights}.partial")
    check_downloaded(snakemake.output.weights)
    to_safetensors(snakemake.output.weights)
    note_source(at, snakemake.output.weights)
