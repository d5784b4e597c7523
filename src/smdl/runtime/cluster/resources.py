"""What a job asks a cluster for, from the size of its model, its work, and the attempt it is.

Sizes are counted, not guessed: weights and their copies. Time is measured where a job of the same kind has finished in
this study (its table says how long it took), and counted from floating-point operations before that.
"""

import math
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from smdl.compression.registry import SCHEMES
from smdl.models.shape import BYTES, Need
from smdl.rulers.registry import RULERS
from smdl.sources.registry import SOURCES
from smdl.tables import read_provenance

# Python, torch and Snakemake, before any weight is loaded (MB).
BASE_MB = 3000
# What jobs have that say nothing of their memory: tables and figures (profiles/slurm).
DEFAULT_MB = 4000
# Operations a second to count on before a rate is measured: of a GPU, what the published study reached (3.5 hours of an
# H200 for the four chains of a 6.9b checkpoint, at a context of 1024), and of a core of a CPU.
GPU_RATE, CPU_RATE = 4e13, 5e9
# Below so many weights a GPU waits for Python more than it computes.
GPU_FROM_PARAMETERS = 5_000_000
MARGIN = 2.0
BYTE_VOCABULARY, PYTHIA_VOCABULARY = 256, 50304
# The rules that load a model and run it: the profiles send them to the partition with GPUs.
GPU_RULES = (
    *("reference", "llc_chains", "restricted_chains", "sweep_chains", *SCHEMES),
    *("tensor_errors", "ladder", "allocation"),
    *(source.making.rule for source in SOURCES.values() if source.making and source.making.runs_model),
    *(name for name, ruler in RULERS.items() if ruler.runs_model),
)
START_MINUTES = 10


def vocabulary(tokenizer: str) -> int:
    """Tokens to count on, of bytes or of a tokenizer as large as Pythia's."""
    return BYTE_VOCABULARY if tokenizer == "bytes" else PYTHIA_VOCABULARY


def gpus(weights: int) -> int:
    """GPUs of a job on a model of so many weights: one, or none for the very small."""
    return int(weights >= GPU_FROM_PARAMETERS)


def memory_mb(need: Need, loaded: float, gpu: int, attempt: int) -> int:
    """Host memory (MB) for a job; ``loaded`` are the bytes of its model, which pass through it on their way to a GPU.

    Every further attempt asks for as much again.
    """
    held = max(need.host, loaded) if gpu else need.device + need.host
    return attempt * (BASE_MB + math.ceil(held / 1e6))


def minutes(weights: int, tokens: int, attempt: int, measured: Iterable[float] = ()) -> int:
    """Time limit (minutes) for forward and backward passes over ``tokens``, six operations per weight and token.

    ``measured`` holds the wall times (s) of finished jobs of the same work: where there are any, the longest counts.
    """
    rate = GPU_RATE if gpus(weights) else CPU_RATE
    seconds = max(measured, default=6 * weights * tokens / rate)
    return attempt * (START_MINUTES + math.ceil(MARGIN * seconds / 60))


def wall_seconds(tables: Iterable[Path]) -> list[float]:
    """Wall times (s) of the jobs that wrote these tables, from their provenance.

    Left out are tables that are being written (hidden names), and empty ones of checkpoints that were screened out.
    Raises StudyError with the name of a damaged one.
    """
    records = []
    for table in tables:
        # A job that begins takes its older outputs away.
        with suppress(FileNotFoundError):
            if not table.name.startswith("."):
                records.append(read_provenance(table))
    return [record["wall_seconds"] for record in records if "wall_seconds" in record]


def checkpoint_gb(weights: int) -> float:
    """Size on disk (GB) of a checkpoint in 16 bits, as suites store them."""
    return weights * BYTES["float16"] / 1e9
