"""What a compute node is like, as JSON on standard output; the doctor sends it there as a job of one minute."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def gpu() -> dict[str, Any]:
    """Device, driver, and whether torch computes on the device; ``error`` says what failed."""
    import torch

    found: dict[str, Any] = {"torch": torch.__version__, "cuda": torch.version.cuda, "given": _given()}
    try:
        query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        found["smi"] = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        found["error"] = f"nvidia-smi: {error}"
    try:
        square = torch.ones(64, 64, device="cuda")
        found["works"] = bool((square @ square == 64).all())
        found["device"] = torch.cuda.get_device_name()
    except (RuntimeError, AssertionError) as error:
        found["works"], found["error"] = False, str(error).splitlines()[0]
    return found


def network(host: str = "huggingface.co") -> bool:
    """Whether this node reaches the hub."""
    try:
        socket.create_connection((host, 443), timeout=5).close()
    except OSError:
        return False
    return True


def main(letter: str, answer: str) -> None:
    """Read the file ``letter``, write its text to ``answer``, and print what this node is like."""
    text = Path(letter).read_text() if Path(letter).exists() else None
    if text is not None:
        Path(answer).write_text(text)
    scratch = tempfile.gettempdir()
    report = {
        "host": os.environ.get("SLURMD_NODENAME") or socket.gethostname(),
        "python": sys.executable,
        "letter": text,
        "network": network(),
        "scratch": scratch,
        "scratch_gb": round(shutil.disk_usage(scratch).free / 1e9, 1),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "gpu": gpu(),
    }
    print(json.dumps(report))


def _given() -> str | None:
    return os.environ.get("CUDA_VISIBLE_DEVICES")


if __name__ == "__main__":
    main(*sys.argv[1:])
