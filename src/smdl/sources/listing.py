"""What a hub lists for a study, before anything is downloaded: the commit and the weight files of every checkpoint.

The final weights are listed too, for comparison: early branches that serve them are the suites' commonest defect.
"""

import re
import tempfile
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from smdl.foundation.errors import StudyError
from smdl.hub import client as hub
from smdl.models.architectures import objections, parsed
from smdl.settings.base import Count, Name, Repository, Section, StepBranch, Text
from smdl.sources.stored import label_of

FINAL = "main"


class Listed(Section):
    """What is asked of a model: its branches, by a pattern or by name, and whether these schemes can handle it."""

    repo: Repository
    revision: StepBranch
    steps: tuple[Count, ...]
    labels: dict[Text, Count] = Field(default_factory=dict)
    schemes: tuple[Name, ...] = ()


def listing(models: Mapping[str, Listed]) -> pd.DataFrame:
    """The rows of the table ``listing`` of some models by name.

    Each config.json is fetched, once, and looked at. The final weights stand under the last step that has a branch, or
    under the one after it where the study has that step and it differs; not where they are the last step of another of
    the models. Raises StudyError with a line for every checkpoint that cannot be fetched.
    """
    found: dict[str, dict[int, list[dict[str, Any]]]] = {}
    last, finals, problems = {}, {}, []
    for name, model in models.items():
        repo, branches = model.repo, hub.branches(model.repo)
        listed = found[name] = {}
        seen: set[str] = set()
        for step in model.steps:
            try:
                at = hub.revision(repo, branch_of(repo, label_of(model.labels, step) or model.revision, step, branches))
                listed[step] = _files(at)
                problems += _objections(at, model.schemes, seen)
            except StudyError as problem:
                problems.append(str(problem))
        last[name] = max([*steps_of(model.revision, branches), *model.steps])
        finals[name] = _final(repo, branches)
    if problems:
        raise StudyError("\n  ".join(problems))
    # A repository may hold several models, of which main goes on with one.
    ends = {(model.repo, _digests(found[name].get(last[name], []))) for name, model in models.items()}
    for name, model in models.items():
        if (model.repo, _digests(finals[name])) not in ends:
            found[name][last[name] + (last[name] in model.steps)] = finals[name]
    return pd.DataFrame(
        {"model": name, "step": step, "wanted": step in models[name].steps, **file}
        for name, listed in found.items()
        for step, files in listed.items()
        for file in files
    )


def branch_of(repo: str, pattern: str, step: int, branches: list[str]) -> str:
    """The branch of a step; a ``*`` in the pattern stands for what else its name holds, and must leave one branch."""
    wanted = pattern.format(step=step)
    if "*" not in wanted:
        return wanted
    matches = [branch for branch in branches if fnmatchcase(branch, wanted)]
    if len(matches) != 1:
        found = f"{len(matches)} branches match ({', '.join(matches[:3])}, ...)" if matches else "no branch matches"
        raise StudyError(f"{repo} at {wanted}: {found}; one must")
    return matches[0]


def steps_of(pattern: str, branches: list[str]) -> list[int]:
    """The steps of the branches that match the pattern, in the order of the branches."""
    if "{step}" not in pattern:
        return []
    # No training is longer than 15 digits tell, and a hub may list any name.
    expression = re.escape(pattern).replace(r"\{step\}", "([0-9]{1,15})").replace(r"\*", ".*")
    return [int(match[1]) for branch in branches if (match := re.fullmatch(expression, branch))]


def _final(repo: str, branches: list[str]) -> list[dict[str, Any]]:
    """The files of the final weights; none where main is not there or has no weights, as in a collection of steps."""
    if FINAL not in branches:
        return []
    at = hub.revision(repo, FINAL)
    return _files(at) if any(_holds_weights(file) for file in at.files) else []


def _holds_weights(file: hub.RemoteFile) -> bool:
    return any(pattern.fullmatch(file.path) for pattern in hub.WEIGHTS.values())


def _digests(files: list[dict[str, Any]]) -> frozenset[str]:
    return frozenset(file["sha256"] for file in files if file["weights"])


def _objections(at: hub.Revision, schemes: list[str], seen: set[str]) -> list[str]:
    """What a revision's config.json says against measuring it, unless its digest is among those ``seen``."""
    file = next(file for file in at.files if file.path in hub.CONFIG)
    if file.digest in seen:
        return []
    seen.add(file.digest)
    with tempfile.TemporaryDirectory() as folder:
        hub.download(at, [file], folder, Path(folder, "partial"))
        config = parsed(Path(folder, file.path).read_bytes(), f"{at}, {file.path}")
    return [f"{at}: {line}" for line in objections(config, schemes)]


def _files(at: hub.Revision) -> list[dict[str, Any]]:
    needed = {file.path for file in hub.weight_files(at)}
    return [
        {
            "repo": at.repo,
            "revision": at.name,
            "commit": at.commit,
            "path": file.path,
            "size": file.size,
            "sha256": file.digest,
            "weights": _holds_weights(file),
            "needed": file.path in needed,
        }
        for file in at.files
    ]
