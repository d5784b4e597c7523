"""The text that a study begins with: one that a package ships, or a folder of the user's."""

import os
from dataclasses import dataclass
from pathlib import Path

from smdl.corpus.text_files import PACKAGE_BYTES, known_forms, most_tokens
from smdl.foundation.errors import StudyError


@dataclass(frozen=True)
class Text:
    """A text by the keys of the section ``corpus`` that name it."""

    keys: dict[str, str]

    @property
    def name(self) -> str:
        """What it is called."""
        return self.keys.get("path") or self.keys["name"]

    def bytes(self, needed: int) -> int:
        """Bytes that are there, or ``needed`` where there may be as many."""
        if "path" not in self.keys:
            return PACKAGE_BYTES[self.keys["name"]]
        there = most_tokens(self.keys["path"], needed)
        return needed if there is None else there


def text_of(answer: str) -> Text:
    """The text that ``answer`` names; StudyError, in one line, where it is none."""
    if answer in PACKAGE_BYTES:
        return Text({"source": "package", "name": answer})
    path = Path(os.path.abspath(os.path.expanduser(answer)))
    if path.is_file():
        raise StudyError(f"--text: {answer} is a file; give the folder that it lies in, and nothing else with it")
    if not path.is_dir():
        raise StudyError(f"--text: {answer!r} is neither {' nor '.join(PACKAGE_BYTES)} nor a folder of {known_forms()}")
    return Text({"source": "local", "path": str(path)})
