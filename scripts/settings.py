"""Rule settings: the config as it was understood, defaults included."""

from smdl.runtime.job import job

with job(snakemake) as this:
    import yaml

    from smdl.foundation.files import replacing

    with replacing(snakemake.output[0]) as temporary:
        temporary.write_text(yaml.safe_dump(this.settings, sort_keys=False))
