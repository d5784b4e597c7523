"""Are the weights that a job reads those that were measured? Every job on a checkpoint asks before it computes."""

from pathlib import Path

from smdl.foundation.errors import StudyError
from smdl.models.loading import digest
from smdl.models.parameters import contents, tensors
from smdl.tables import read_table
from smdl.tables.study import CHECKPOINT


def check_weights(folder: str | Path, path: str | Path) -> None:
    """StudyError, in one line, where the tensors in ``folder`` are not those of the table ``manifest`` at ``path``.

    Every stored byte is read: about a second a GB, once per job.
    """
    manifest = read_table(path)
    listed = dict(zip(manifest["tensor"], manifest["sha256"], strict=True))
    stored = {stored.name: digest(tensor) for stored, tensor in tensors(contents(folder))}
    if stored == listed:
        return
    differing = sorted(name for name in stored.keys() | listed.keys() if stored.get(name) != listed.get(name))
    model, step = manifest[CHECKPOINT].iloc[0]
    raise StudyError(
        f"weights of {model} step {step} are not those of the manifest: {len(differing)} of {len(listed)} tensors in"
        f" {folder} differ, the first {differing[0]}: put the old ones back, or remove {path} and run again to measure"
        " the new ones"
    )
