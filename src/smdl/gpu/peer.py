"""The sampler beside devinterp on the same GPU, by the benchmark of the checkout."""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from smdl.runtime.installed import workflow_folder

FASTER, MEMORY = 1.5, 0.7
"""A step shall be so many times as fast as the peer's, and take at most this share of its memory."""


class Beside(NamedTuple):
    """The peer's time a step over ours, and our peak memory over the peer's; ``note`` where it failed."""

    model: str
    faster: float
    memory: float
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether both are as they shall be."""
        return self.faster >= FASTER and self.memory <= MEMORY


def beside_peer(model: str, output: Path, seconds: float) -> Beside:
    """Both samplers at the shape of ``model``, in processes of their own that end within some ``seconds``.

    The peer is installed once, into an environment of its own, for which the network is needed; ``output`` is the
    folder for peer.json.
    """
    shape, file = model.removeprefix("pythia-"), output / "peer.json"
    command = [sys.executable, workflow_folder() / "benchmarks/llc_peer.py", "--models", shape, "--repeats", "1"]
    process = subprocess.Popen(
        [*command, "--output", file],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        _, told = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        # With the workers that it started, which would go on holding the card.
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return Beside(model, math.nan, math.nan, f"not done within {seconds:.0f} s")
    if process.returncode:
        said = told.strip().splitlines() or [f"exit status {process.returncode}"]
        return Beside(model, math.nan, math.nan, said[-1])
    ratios = json.loads(file.read_text())["ratios"][shape]
    return Beside(model, ratios["step_vs_peer"]["median"], ratios["memory_vs_peer"]["median"])
