"""Rule table_page: a table as a page that sorts and filters."""

from smdl.runtime.job import job

with job(snakemake) as this:
    import pandas as pd

    from smdl.foundation.files import replacing
    from smdl.report.pages import page
    from smdl.study.tables import declared
    from smdl.tables import read_table

    written = pd.read_csv(snakemake.input.csv, dtype=str, keep_default_na=False)
    with replacing(snakemake.output[0]) as temporary:
        temporary.write_text(page(declared(snakemake.wildcards.table), read_table(snakemake.input.table), written))
