"""The warning that SLURM gives a job before its end."""

import re


def warning_seconds(options: str) -> float | None:
    """Seconds before a job's end at which SLURM warns it, by its options for sbatch; None where it does not."""
    found = re.search(r"--signal=(?:\w+:)?\w+@(\d+)", options)
    return float(found[1]) if found else None
