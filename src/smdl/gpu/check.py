"""All that one command finds out of a GPU, and its page: ``make gpu-check``."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from smdl.foundation.errors import WrongUsage, one_line
from smdl.foundation.files import replacing
from smdl.gpu.agreement import Agreement, agreements
from smdl.gpu.memory import Peak, peaks
from smdl.gpu.peer import Beside, beside_peer
from smdl.gpu.speed import Speed, speed
from smdl.study.study import Study

MODELS = ("pythia-70m", "pythia-410m", "pythia-1.4b")
STEP = 1.1
"""A step of a chain may take so many times its forward and backward pass."""
BUDGET_SECONDS, LIMIT_SECONDS = 420, 480
"""Nothing new is begun after the first: what is left out is named. What is compared with others ends at the second."""

Tell = Callable[[str], None]


def check(study: Study, output: Path, tell: Tell) -> bool:
    """Write gpu.json and gpu.md into ``output``; whether all holds. Raises WrongUsage where there is no GPU."""
    if not torch.cuda.is_available():
        raise WrongUsage(
            f"torch {torch.__version__} finds no GPU here: run this on a node that has one, with torch's build for it"
            " (docs/findings/gpu.md)"
        )
    start, gpu = time.monotonic(), torch.device("cuda", torch.cuda.current_device())
    compared = _told(agreements(gpu), tell)
    speeds, memory, peer, left = [], [], [], []
    for name in MODELS:
        if time.monotonic() - start > BUDGET_SECONDS:
            left.append(name)
            continue
        speeds += _told(_tried(lambda name=name: speed(study, name, gpu), name, tell), tell)
        memory += _told(peaks(study, name, gpu), tell)
        # Its processes need the card's memory.
        torch.cuda.empty_cache()
        rest = max(LIMIT_SECONDS - (time.monotonic() - start), 0)
        peer += _told(iter([beside_peer(name, output, rest)]), tell)
    found = {
        **device(gpu),
        "seconds": round(time.monotonic() - start),
        "agreements": compared,
        "speeds": speeds,
        "peaks": memory,
        "peer": peer,
        "left_out": left,
    }
    write(found, output)
    return holds(found)


def write(found: dict[str, Any], output: Path) -> None:
    """The findings as data and as a page."""
    rows = {
        name: [{**row._asdict(), **_judged(row)} for row in found[name]]
        for name in ("agreements", "speeds", "peaks", "peer")
    }
    with replacing(output / "gpu.json") as temporary:
        temporary.write_text(json.dumps({**found, **rows}, indent=2) + "\n")
    with replacing(output / "gpu.md") as temporary:
        temporary.write_text(page(found))


def holds(found: dict[str, Any]) -> bool:
    """Whether every comparison is within its tolerance, and nothing was left out."""
    near = all(row.holds for row in [*found["agreements"], *found["peaks"], *found["peer"]])
    return near and not found["left_out"] and all(row.ratio <= STEP for row in found["speeds"])


def device(gpu: torch.device) -> dict[str, Any]:
    """The card, its driver, and the software."""
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        driver = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split("\n")[0]
    except (OSError, subprocess.CalledProcessError):
        driver = "unknown"
    return {
        "device": torch.cuda.get_device_name(gpu),
        "memory_gb": round(torch.cuda.get_device_properties(gpu).total_memory / 1e9, 1),
        "driver": driver,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
    }


def page(found: dict[str, Any]) -> str:
    """The findings as Markdown, those that do not hold first."""
    words = f"{found['device']}, {found['memory_gb']} GB, driver {found['driver']}, torch {found['torch']}"
    parts = [
        "# The path over a GPU, measured",
        f"{words}, CUDA {found['cuda']}; `make gpu-check`, {found['seconds']} s."
        f" {'All holds.' if holds(found) else 'Not all holds.'}",
        *([f"Left out for lack of time: {', '.join(found['left_out'])}."] if found["left_out"] else []),
        "## The GPU and the CPU agree",
        _table(
            ("", "largest difference", "may be", "holds", ""),
            [
                (f"{row.part}: {row.what}", f"{row.difference:.2g}", f"{row.tolerance:g}", _yes(row), row.note)
                for row in sorted(found["agreements"], key=lambda row: row.holds)
            ],
        ),
        "## A step of a chain",
        _table(
            (
                "model",
                "step (ms)",
                "over forward and backward",
                "share of peak",
                "TF32: times as fast",
                "change (nats)",
            ),
            [
                (
                    row.model,
                    f"{1000 * row.step:.0f}",
                    f"{row.ratio:.2f}",
                    f"{row.peak_share:.2f}",
                    f"{row.tf32_gain:.2f}",
                    f"{row.tf32_change:.2g}",
                )
                for row in found["speeds"]
            ],
        ),
        "## The sampler beside devinterp 2.0.1",
        _table(
            ("model", "times as fast", "memory over its", "holds", ""),
            [(row.model, f"{row.faster:.2f}", f"{row.memory:.2f}", _yes(row), row.note) for row in found["peer"]],
        ),
        "## Peak memory of the jobs",
        _table(
            ("model", "job", "computed (GB)", "measured (GB)", "ratio", "holds", ""),
            [
                (
                    row.model,
                    row.rule,
                    f"{row.computed / 1e9:.1f}",
                    f"{row.measured / 1e9:.1f}",
                    f"{row.ratio:.2f}",
                    _yes(row),
                    row.note,
                )
                for row in sorted(found["peaks"], key=lambda row: row.holds)
            ],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _told(rows: Iterator[Any], tell: Tell) -> list[Any]:
    found = []
    for row in rows:
        tell(", ".join(f"{name} {_short(value)}" for name, value in row._asdict().items() if value != ""))
        found.append(row)
    return found


def _tried(work: Callable[[], Speed], name: str, tell: Tell) -> Iterator[Speed]:
    try:
        yield work()
    except torch.cuda.OutOfMemoryError as error:
        tell(f"{name}: {one_line(error)}")


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _judged(row: Agreement | Peak | Speed | Beside) -> dict[str, Any]:
    return {name: getattr(row, name) for name in ("holds", "ratio") if hasattr(row, name)}


def _yes(row: Agreement | Peak | Beside) -> str:
    return "yes" if row.holds else "**no**"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
