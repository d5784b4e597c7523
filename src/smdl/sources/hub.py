"""The source ``hub``: checkpoints that are downloaded from a hub, one at a time, and deleted after use."""

from collections.abc import Mapping

from pydantic import Field

from smdl.compression.settings import Schemes
from smdl.settings.base import Repository, Section, StepBranch, Text
from smdl.sources.source import Making, Task
from smdl.sources.stored import Stored

# EleutherAI/pythia, README: 154 checkpoints per model.
PYTHIA_STEPS = {0, *(2**i for i in range(10)), *range(1000, 143001, 1000)}


class Revision(Section):
    """What decides a download: the repository and the branch of a checkpoint."""

    repo: Repository
    revision: Text


class Hub(Stored):
    """Downloaded."""

    where = "revision"
    listed = True
    making = Making(
        rule="download",
        folder="downloads/{model}/step{step}",
        version=1,
        reads=("listing",),
        settings=Revision,
        network=True,
        temporary=True,
    )

    repo: Repository = Field(description="(hub) Repository, as owner/name.")
    revision: StepBranch = Field(
        "step{step}",
        description="(hub) Branch of a checkpoint, with {step} where the step stands, and * for what else its name has;"
        " without {step} the repository holds one checkpoint.",
    )

    def decides(self, step: int, schemes: Schemes) -> Revision:
        """The branch of a checkpoint; its commit stands in the listing."""
        return Revision(repo=self.repo, revision=self.place_of(step))

    @classmethod
    def make(cls, settings: Revision, task: Task) -> Mapping:
        """Download the listed commit, only the files that are needed, and check them byte for byte."""
        from smdl.hub.client import check_downloaded, download, note_source, pinned, weight_files
        from smdl.models.pickles import to_safetensors
        from smdl.tables import read_table

        at = pinned(read_table(task.inputs["listing"]), task.model, task.step)
        download(at, weight_files(at), str(task.folder), f"{task.folder}.partial")
        check_downloaded(str(task.folder))
        to_safetensors(str(task.folder))
        note_source(at, str(task.folder))
        return {}

    def has_step(self, step: int) -> bool:
        """Whether the public suite has it; of others the listing shows it."""
        its_own = "{step}" in self.revision and step not in self.labels.values()
        return not self.repo.startswith("EleutherAI/pythia") or not its_own or step in PYTHIA_STEPS

    def known_steps(self) -> str:
        """The steps that Pythia has."""
        return "; Pythia has 0, powers of 2 up to 512, and every 1000 up to 143000"
