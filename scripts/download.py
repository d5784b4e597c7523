"""Rule download: one checkpoint from its hub, only the files that are needed."""

from smdl.job import job

with job(snakemake) as this:
    from smdl.hub import download, revision, weight_files

    at = revision(this.settings["repo"], this.settings["revision"])
    download(at, weight_files(at), snakemake.output.weights, f"{snakemake.output.weights}.partial")
