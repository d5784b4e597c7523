"""The warm process of the tests: the product's own, which here has Snakemake at hand too.

    python -P tests/warm_process.py COMMAND [ARGUMENT ...]

Of smdl it knows as little as the product's: the code that a fork runs is that on disk.
"""

import runpy
from importlib import import_module
from pathlib import Path

SNAKEMAKE = ("snakemake.cli", "snakemake_executor_plugin_slurm", "snakemake_executor_plugin_slurm_jobstep", "rich.live")

for name in SNAKEMAKE:
    import_module(name)
runpy.run_path(str(Path(__file__).parents[1] / "src/smdl/runtime/warm.py"), run_name="__main__")
