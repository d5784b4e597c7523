"""Snakemake with quick polling, for tests only: the executor plugin has no option for it.

Started as ``python tests/slurm/launch.py ARGUMENTS`` where a user would say ``snakemake ARGUMENTS``.
"""

import sys

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

from smdl.runtime.cluster import guard

POLL_SECONDS = 1
PATIENCE_SECONDS = 8

# The plugin sets its interval after every check: here that has no effect.
RemoteExecutor.next_seconds_between_status_checks = property(lambda self: POLL_SECONDS, lambda self, value: None)

if __name__ == "__main__":
    import snakemake_executor_plugin_slurm  # noqa: F401  (the guard stands before a loaded plugin only)

    guard.install(PATIENCE_SECONDS)
    sys.argv[0] = "snakemake"
    main(sys.argv[1:])
