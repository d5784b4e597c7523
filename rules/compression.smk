"""Compression: delta loss of every scheme at its levels, and the critical level at every tolerance.

One rule per scheme, named after it, with what its class in smdl/compression/schemes declares.
"""

for scheme, declared in DECLARED.items():

    rule:
        """Compress a checkpoint by one scheme, level after level, and find where its loss has risen by a tolerance."""
        name:
            scheme
        input:
            **OF_CHECKPOINT,
            blocks="<results>/corpus/blocks.npy",
            splits="<results>/corpus/splits.parquet",
        output:
            **compressed(scheme),
        log:
            f"<logs>/{scheme}/{{model}}/step{{step}}.log",
        conda:
            "../envs/model.yaml"
        resources:
            # In float32, whatever the chains are in: grids and noise are too fine for bfloat16.
            **asks(declared.cost.copies, evaluation_passes(declared.cost.passes), dtype="float32"),
        params:
            version=stage_version("compress"),
            scheme=scheme,
            scheme_version=declared.version,
            folder=checkpoint,
            settings=scheme_settings(scheme),
        script:
            "../scripts/compress.py"
