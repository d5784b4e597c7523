"""Section ``corpus``: the text, and how it is cut into blocks. One class per source."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from smdl.corpus.text_files import PACKAGE_BYTES, files_below, known_forms, most_tokens
from smdl.foundation.errors import StudyError, one_line
from smdl.settings.base import Branch, Folder, Integer, Repository, Section, Text

SOURCE = "package - text shipped by a pinned Python package; local - a folder of files; hub - a dataset."
MOST_TOKENS = 10**10


class Blocks(Section):
    """Blocks of each split; the splits are disjoint, and training gets what is left."""

    sampling: Integer = Field(
        ge=1, description="Blocks from which the sampler draws its minibatches; L_n is the mean loss over them."
    )
    evaluation: Integer = Field(ge=2, description="Blocks on which delta loss is measured.")
    calibration: Integer = Field(0, ge=0, description="Blocks for schemes that look at data (GPTQ, Wanda, ...).")

    @property
    def total(self) -> int:
        """The blocks of all splits but that of training."""
        return self.sampling + self.evaluation + self.calibration


class CorpusText(Section):
    """The text on which models are sampled, compressed and, where the study trains them, trained."""

    files: Text = Field(
        "*",
        description="(hub) Glob that the paths of the dataset's files must match, from the right (data/*.jsonl.zst).",
    )
    column: Text = Field("text", description="(local, hub) Key of the text in JSONL, or column of it in Parquet.")
    revision: Branch = Field("main", description="(hub) Branch, tag or commit of the dataset.")
    tokenizer: Folder = Field(
        "bytes",
        description="bytes - UTF-8 bytes, vocabulary 256; the path of a tokenizer.json;"
        " or (hub) the owner/name it is in.",
    )
    context: Integer = Field(
        ge=2, le=2**20, description="Tokens a block; a model's own context must be at least as long."
    )
    blocks: Blocks


class PackageText(CorpusText):
    source: Literal["package"] = Field(description=SOURCE)
    name: Literal["kjv", "factbook"] = Field(
        description="(package) kjv - King James Bible, 4.1 MB; factbook - CIA World Factbook, 2.9 MB."
    )


class LocalText(CorpusText):
    source: Literal["local"] = Field(description=SOURCE)
    path: Folder = Field(
        description="(local) Folder of .txt, .jsonl (plain, .gz or .zst) or .parquet files, read in the order of paths."
    )


class HubText(CorpusText):
    source: Literal["hub"] = Field(description=SOURCE)
    repo: Repository = Field(description="(hub) Dataset repository, as owner/name.")


Corpus = Annotated[PackageText | LocalText | HubText, Field(discriminator="source")]
SOURCES = {"package": PackageText, "local": LocalText, "hub": HubText}


def check_corpus(corpus: CorpusText) -> Iterator[str]:
    """Files are where they are said to be, and the blocks are not more than can be held."""
    if isinstance(corpus, LocalText) and not Path(corpus.path).is_dir():
        yield f"corpus.path: {corpus.path!r} is not a folder"
    named = isinstance(corpus, HubText) and corpus.tokenizer.count("/") == 1
    if corpus.tokenizer != "bytes" and not named:
        yield from _check_tokenizer(Path(corpus.tokenizer))
    blocks = corpus.blocks.total
    if blocks * corpus.context > MOST_TOKENS:
        yield f"corpus.blocks: {blocks} blocks of {corpus.context} tokens are more than {MOST_TOKENS:.0e} tokens"


def _check_tokenizer(path: Path) -> Iterator[str]:
    """The file is there and begins as JSON does; the job that uses it reads the rest."""
    if not path.is_file():
        yield f"corpus.tokenizer: {str(path)!r} is neither bytes nor a tokenizer.json file"
        return
    try:
        with path.open("rb") as file:
            head = file.read(100).lstrip()
    except OSError as error:
        yield f"corpus.tokenizer: {str(path)!r} cannot be read ({error.strerror})"
        return
    if not head.startswith(b"{"):
        what = "a pointer of Git LFS, not the file itself" if b"git-lfs" in head else "not a JSON object"
        yield f"corpus.tokenizer: {str(path)!r} is {what}; a tokenizer.json is wanted"


def check_text(corpus: CorpusText, batches: dict[str, int]) -> Iterator[str]:
    """The text can be enough for the blocks asked for, and for a batch of every training, as far as sizes tell.

    ``batches`` holds the blocks per step of the models that are trained, by name.
    """
    blocks = corpus.blocks.total
    match corpus:
        case HubText():
            for name in batches:
                yield (
                    f"models.{name}.source: nothing is left for training, since of a hub's dataset no more is read"
                    " than the other splits need; train on a local corpus"
                )
            return
        case LocalText():
            if not Path(corpus.path).is_dir():
                return
            try:
                if next(files_below(corpus.path), None) is None:
                    yield f"corpus.path: {corpus.path!r} holds no {known_forms()} file"
                    return
                tokens = most_tokens(corpus.path, (blocks + max(batches.values(), default=0)) * corpus.context)
            except StudyError as problem:
                yield str(problem)
                return
        case _:
            tokens = PACKAGE_BYTES[corpus.name] + 1
    if tokens is None:
        return
    there = tokens // corpus.context
    if there < blocks:
        text = one_line(corpus.path if isinstance(corpus, LocalText) else corpus.name)
        yield (
            f"corpus.blocks: {blocks} blocks of {corpus.context} tokens are asked for, and {text} gives at most"
            f" {there}: more text, shorter or fewer blocks"
        )
        return
    for name, batch in batches.items():
        if batch > there - blocks:
            yield (
                f"models.{name}.training.batch_size: {batch} blocks per step, and the corpus leaves at"
                f" most {there - blocks} for training: smaller batches, more text, or fewer blocks in corpus.blocks"
            )
