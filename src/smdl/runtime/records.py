"""What Snakemake recorded of the files that a study's jobs made: by which rule, from what, and when."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from snakemake.io import IOFile
from snakemake.persistence.file import FilePersistence

STATE = Path(".snakemake")


@dataclass(frozen=True)
class Run:
    """One job that ran: its rule, when it began and ended (s since the epoch), and paths as Snakemake saw them.

    ``log`` tells the jobs of a rule apart, ``parameters`` are those of its rule, without their names.
    """

    rule: str
    log: str
    started: float
    ended: float
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: tuple[str, ...]


def runs(paths: Iterable[str], state: Path = STATE) -> list[Run]:
    """The jobs that made ``paths``, files or folders, in the order of their beginning; what no job made is passed over.

    ``state`` is Snakemake's own folder.
    """
    if not state.is_dir():
        return []
    kept = FilePersistence(nolock=True, path=state)
    made: dict[tuple[str, ...], list] = {}
    for path in paths:
        record = kept.metadata(IOFile(path))
        if record is not None and record.rule:
            made.setdefault((record.rule, *record.log), []).append((path, record))
    found = [
        Run(
            rule=rule,
            log=" ".join(log),
            started=min(record.starttime for _, record in records),
            ended=max(record.endtime for _, record in records),
            inputs=tuple(sorted({path for _, record in records for path in record.input})),
            outputs=tuple(sorted(path for path, _ in records)),
            parameters=tuple(records[0][1].params),
        )
        for (rule, *log), records in made.items()
    ]
    return sorted(found, key=lambda run: (run.started, run.log))
