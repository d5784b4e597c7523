"""A first study of a model: what is open is asked, the model looked at, and FOLDER/config.yaml written."""

import os
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from smdl.foundation.errors import StudyError, WrongUsage
from smdl.settings.base import REPOSITORY
from smdl.settings.config import validated
from smdl.start.config import config_text
from smdl.start.model import BYTES, TOKENIZER, Model, on_disk, on_hub
from smdl.start.questions import ask, ask_or_all, steps
from smdl.start.text import Text, text_of
from smdl.start.tokenizer import tokenizer_of
from smdl.study.study import TAKEN, Study

NAME = "config.yaml"


@dataclass(frozen=True)
class Wanted:
    """What the options of ``smdl init`` say; None where they say nothing."""

    folder: Path
    repo: str | None = None
    revision: str | None = None
    path: str | None = None
    steps: tuple[int, ...] | None = None
    text: str | None = None
    tokenizer: str | None = None


@dataclass(frozen=True)
class Begun:
    """A study that was begun: its config, a line on the model, and the commands that run it and report it."""

    config: Path
    model: str
    run: str
    report: str


def init(wanted: Wanted, workflow: Path) -> Begun:
    """Write the config of a first study.

    ``workflow`` is the folder of the Snakefile. Raises WrongUsage where something is missing and there is no terminal
    to ask on, and StudyError where there is a config already, or the model or the text cannot be taken.
    """
    path = wanted.folder / NAME
    if os.path.lexists(path):
        raise StudyError(f"{path} is there already, and is left as it is: give another folder, or remove it")
    study = _study(wanted.folder)
    repo, folder = _place(wanted)
    text = text_of(wanted.text or ask("--text", "the text: kjv, factbook, or a folder of text files"))
    model = _model(wanted, repo, folder)
    tokenizer = tokenizer_of(wanted.tokenizer, model)
    run = _command(path, workflow)
    # Jobs that cut a text of this disk have no network: what came from a hub is kept beside the config.
    kept = os.path.abspath(wanted.folder / TOKENIZER) if tokenizer.fetched else tokenizer.name
    _write(path, config_text(study, model, text, kept, run), tokenizer.fetched)
    return Begun(path, _told(model, text, tokenizer.name), run, f"{_program('smdl')} report results/{study}")


def _write(config: Path, written: str, tokenizer: bytes | None) -> None:
    """Write the config, and a tokenizer beside it, over no other file; neither where the config is not right."""
    beside = config.parent / TOKENIZER
    if tokenizer is not None:
        _new(beside, tokenizer)
    try:
        validated(yaml.safe_load(written), Study)
        _new(config, written.encode())
    except BaseException:
        if tokenizer is not None:
            beside.unlink()
        raise


def _new(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(content)


def _command(config: Path, workflow: Path) -> str:
    """What runs the study of ``config`` from the present folder."""
    here = Path.cwd() == workflow
    snakefile = [] if here else ["--snakefile", workflow / "Snakefile"]
    profile = Path("profiles/local") if here else workflow / "profiles/local"
    # The profile last: what is added behind a config file would be another one.
    options = [*snakefile, "--configfile", config, "--profile", profile]
    return " ".join([_program("snakemake"), *(shlex.quote(str(option)) for option in options)])


def _program(name: str) -> str:
    """A program beside this Python, as seen from the present folder where it lies below it."""
    path = Path(sys.executable).parent / name
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))


def _study(folder: Path) -> str:
    """The study's name, which is the folder's as far as names of studies can be so."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(os.path.abspath(folder)).name).strip("-_")
    if not name or name in TAKEN:
        raise WrongUsage(f"{folder}: the study takes the folder's name, and cannot be called {name!r}: give another")
    return name


def _place(wanted: Wanted) -> tuple[str | None, str | None]:
    """The repository, or else the folder, that the model is in."""
    repo, folder = wanted.repo, wanted.path
    if repo is None and folder is None:
        question = "the model: owner/name on the hub, or a folder, with {step} where the step stands"
        answer = ask("--repo or --path", question)
        named = re.match(REPOSITORY, answer) and not Path(answer).exists()
        repo, folder = (answer, None) if named else (None, answer)
    if repo is not None and not re.match(REPOSITORY, repo):
        raise WrongUsage(f"--repo: {repo!r} is not owner/name, as EleutherAI/pythia-14m is")
    if repo is None and wanted.revision is not None:
        raise WrongUsage("--revision: belongs to --repo; a folder's steps stand where --path has {step}")
    return repo, folder


def _model(wanted: Wanted, repo: str | None, folder: str | None) -> Model:
    def choose(there: tuple[int, ...]) -> tuple[int, ...] | None:
        if wanted.steps is not None or len(there) < 2:
            return wanted.steps
        question = f"steps of the checkpoints, as 1000,2000; there are {len(there)}, {there[0]} to {there[-1]}"
        return ask_or_all("--steps", question, steps)

    return on_hub(repo, wanted.revision, choose) if repo is not None else on_disk(folder, choose)


def _told(model: Model, text: Text, tokenizer: str) -> str:
    """A line on what the model was seen to be, and how it is read."""
    several = f"{len(model.steps)} checkpoints, steps {model.steps[0]} to {model.steps[-1]}" if model.steps else ""
    parts = (
        f"{model.parameters:,} weights",
        f"{model.context} tokens of context" if model.context else "context not known",
        several if len(model.steps) > 1 else "1 checkpoint",
        f"text {text.name} in tokens of {tokenizer}" if tokenizer != BYTES else f"text {text.name} in bytes",
    )
    return f"{model.name}: {', '.join(parts)}"
