"""A small model on real text, with what the jobs of a study read beside a checkpoint."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
from torch import nn

from smdl.corpus.blocks import Split, cut, read_tokens, save_blocks, split_rows
from smdl.corpus.settings import PackageText
from smdl.models.checkpoint import Checkpoint
from smdl.models.loading import load, tensor_manifest
from smdl.models.reference import reference_losses
from smdl.sources.schedule import learning_rate
from smdl.sources.train import Architecture, Training
from smdl.sources.training import Run, new_model
from smdl.tables import write_table
from smdl.tables.study import CORPUS, LOSSES, MANIFEST

CONTEXT, SEED = 32, 1
COUNTS = {"sampling": 64, "evaluation": 32, "calibration": 16}
SHAPE = Architecture(layers=3, hidden=32, heads=4)
TRAINING = Training(steps=80, batch_size=16, lr=5e-3, warmup=10)


@dataclass(frozen=True)
class Text:
    """Token blocks, shape (blocks, context), and how they are split."""

    blocks: np.ndarray
    splits: list[Split]

    def split(self, name: str) -> np.ndarray:
        """The blocks of one split."""
        its = next(split for split in self.splits if split.name == name)
        return self.blocks[its.first : its.first + its.blocks]


def bible() -> Text:
    """The King James Bible, byte by byte."""
    settings = PackageText(source="package", name="kjv", context=CONTEXT, blocks=COUNTS)
    tokens, vocabulary, _ = read_tokens(settings)
    return Text(*cut(tokens, vocabulary, CONTEXT, COUNTS, SEED))


def training(text: Text) -> Run:
    """A run of training before its first step, on the device of ``smdl.models.loading.device``."""
    return Run(new_model(SHAPE, text.splits[0].vocabulary, CONTEXT, SEED), text.split("training"), TRAINING, SEED)


def advance(run: Run, steps: int) -> list[float]:
    """The losses (nats) of the next ``steps`` of a run."""
    return [run.advance(learning_rate(run.step, run.settings)) for _ in range(steps)]


@contextmanager
def checkpoint(model: nn.Module, text: Text) -> Iterator[Checkpoint]:
    """A model as a job finds it: its folder, its manifest and losses, and the corpus."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        model.save_pretrained(folder)
        files = {name: str(folder / f"{name}.parquet") for name in ("manifest", "losses", "splits")}
        files["blocks"] = str(folder / "blocks.npy")
        save_blocks(files["blocks"], text.blocks)
        write_table(files["splits"], CORPUS, split_rows(text.splits, "kjv"), {})
        here = {"model": "small", "step": TRAINING.steps}
        write_table(files["manifest"], MANIFEST, [{**here, **row} for row in tensor_manifest(folder)], {})
        blocks = {split: text.split(split) for split in ("sampling", "evaluation")}
        losses = reference_losses(folder, blocks, 32, "float32", autocast=False)
        rows = [
            {**here, "split": split, "block": block, "loss": loss}
            for split, own in losses.items()
            for block, loss in enumerate(own)
        ]
        write_table(files["losses"], LOSSES, rows, {})
        yield Checkpoint("small", TRAINING.steps, str(folder), "float32", SimpleNamespace(**files))


def model_of(checkpoint: Checkpoint) -> nn.Module:
    """The checkpoint's model, loaded anew in float32."""
    return load(checkpoint.folder)
