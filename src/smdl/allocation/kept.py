"""Parts of a job's work that are kept on disk as they are done: a job that was stopped makes the others only."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from smdl.foundation.errors import StudyError
from smdl.foundation.files import replacing
from smdl.tables import digest_of, reading


class Kept:
    """Rows by what decided them, a file each, in ``folder``; ``decisive`` is what decides all of them."""

    def __init__(self, folder: str | Path, *decisive: Any):
        self.folder = Path(folder)
        self.decisive = decisive

    def rows(self, name: str, make: Callable[[], list[dict[str, Any]]]) -> pd.DataFrame:
        """The rows of the part ``name``: those that are kept, else what ``make`` returns, which is kept.

        A damaged file is as good as none.
        """
        path = self.folder / f"{digest_of(name, *self.decisive)[:32]}.parquet"
        try:
            with reading(path, "Parquet file"):
                return pd.read_parquet(path)
        except (FileNotFoundError, StudyError):
            rows = pd.DataFrame(make())
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                rows.to_parquet(temporary)
            return rows
