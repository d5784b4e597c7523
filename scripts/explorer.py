"""Rule explorer: the interactive figure, as one page with everything in it."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.foundation.files import replacing
    from smdl.report.explorer import draw, page
    from smdl.tables import read_table

    tables = {name: read_table(snakemake.input.get(name)) for name in snakemake.input.keys()}  # noqa: SIM118
    with replacing(snakemake.output[0]) as temporary:
        temporary.write_text(page(draw(**tables)))
