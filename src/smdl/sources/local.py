"""The source ``local``: folders of checkpoints that the user has."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from smdl.compression.settings import Schemes
from smdl.corpus.settings import CorpusText
from smdl.foundation.errors import StudyError
from smdl.models import files
from smdl.models.architectures import objections, read_config
from smdl.settings.base import StepPattern
from smdl.sources.stored import Stored


class Local(Stored):
    """A folder of checkpoints on disk."""

    where = "path"

    path: StepPattern = Field(
        description="(local) Folder of a checkpoint in Hugging Face format, with {step} where the step stands; without"
        " it the folder is the one checkpoint."
    )

    def folder(self, step: int) -> Path:
        """Where the checkpoint of ``step`` lies."""
        return Path(self.place_of(step))

    def has_step(self, step: int) -> bool:
        """Whether its folder is there."""
        return self.folder(step).is_dir()

    def known_steps(self) -> str:
        """The folder that is not there."""
        return f"; there is no folder {' or '.join([self.path, *self.labels])}"

    def conflicts(self, key: str, corpus: CorpusText, schemes: Schemes) -> Iterator[str]:
        """As of every source; and the files are whole, and compression can handle what their config.json describes."""
        yield from super().conflicts(key, corpus, schemes)
        lines: dict[str, str] = {}
        for folder in dict.fromkeys(self.folder(step) for step in self.steps):
            if folder.is_dir():
                # All steps of a model are of one kind: what speaks against it is said once.
                lines |= {line.removeprefix(str(folder)): line for line in self._problems(folder, corpus)}
        yield from (f"{key}: {line}" for line in lines.values())

    def _problems(self, folder: Path, corpus: CorpusText) -> list[str]:
        """What speaks against a checkpoint: first the kind of model that it is, then its files."""
        try:
            found = [f"{folder}/config.json: {line}" for line in objections(read_config(folder), self.schemes)]
        except StudyError as problem:
            return [str(problem)]
        return found or files.problems(folder, corpus.context)
