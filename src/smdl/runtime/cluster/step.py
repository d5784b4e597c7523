"""One SLURM job step, as the batch script of a job starts it: ``python step.py OPTION ... COMMAND ARGUMENT ...``.

What sbatch tells of the allocation, and a user's defaults for srun and sbatch, may contradict the options of the step,
which say all that it needs. They are left out, as the executor plugin leaves them out.
"""

import os
import sys

SRUN = ("srun", "-n1", "--cpu-bind=q")
PREFIXES = ("SLURM_", "SRUN_", "SBATCH_")
# Which job this is, and how the cluster is reached.
KEPT = ("SLURM_JOB_ID", "SLURM_JOBID", "SLURM_CLUSTER_NAME", "SLURM_SUBMIT_DIR", "SLURM_SUBMIT_HOST", "SLURM_CONF")


def environment(inherited: dict[str, str]) -> dict[str, str]:
    """What srun shall inherit."""
    return {name: value for name, value in inherited.items() if name in KEPT or not name.startswith(PREFIXES)}


if __name__ == "__main__":
    os.execvpe(SRUN[0], [*SRUN, *sys.argv[1:]], environment(dict(os.environ)))
