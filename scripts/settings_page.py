"""Rule settings_page: the configuration as a page that sorts and filters."""

from smdl.runtime.job import job

with job(snakemake) as this:
    import yaml

    from smdl.foundation.files import replacing
    from smdl.report.pages import page
    from smdl.report.settings import settings
    from smdl.tables.report import SETTINGS

    with open(snakemake.input[0]) as stream:
        rows = SETTINGS.conform(settings(yaml.safe_load(stream)))
    with replacing(snakemake.output[0]) as temporary:
        temporary.write_text(page(SETTINGS, rows))
