"""The jobs that the text of Snakemake's dry run lists."""

import re
from dataclasses import dataclass

HEAD = re.compile(r"^(?:local)?(?:rule|checkpoint) (\w+):$")
ASKED = ("gpu", "runtime", "mem_mb", "gpu_mb")
LINE = re.compile(r"^    (output|log|wildcards|resources): (.*)$")


@dataclass(frozen=True)
class PlannedJob:
    """One job: its rule, its model ("" where it has none), what it makes, and what it asks for.

    That is GPUs, minutes, main memory and memory of a GPU (MB); 0 where it says nothing. Target rules make nothing.
    """

    rule: str
    model: str = ""
    outputs: tuple[str, ...] = ()
    log: str = ""
    gpu: int = 0
    minutes: int = 0
    memory_mb: int = 0
    device_mb: int = 0


def planned(dry_run: str) -> list[PlannedJob]:
    """The jobs of a dry run, in its order."""
    jobs: list[PlannedJob] = []
    rule, found = None, {}
    for line in [*dry_run.splitlines(), ""]:
        if head := HEAD.match(line):
            rule, found = head[1], {}
        elif rule and (part := LINE.match(line)):
            found[part[1]] = part[2]
        elif rule and not line.startswith("    "):
            jobs.append(_job(rule, found))
            rule = None
    return jobs


def _job(rule: str, found: dict[str, str]) -> PlannedJob:
    wildcards, resources = (_pairs(found.get(name, "")) for name in ("wildcards", "resources"))
    gpu, minutes, memory, device = (_number(resources.get(name, "")) for name in ASKED)
    return PlannedJob(
        rule,
        wildcards.get("model", ""),
        tuple(found["output"].split(", ")) if "output" in found else (),
        found.get("log", ""),
        gpu,
        minutes,
        memory,
        device,
    )


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _pairs(text: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in text.split(", ") if "=" in pair)
