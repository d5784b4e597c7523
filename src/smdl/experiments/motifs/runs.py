"""One model: trained in its arm, compressed as its arm says, and measured."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn

from smdl.compression import registry
from smdl.compression.constraint import Constraint
from smdl.compression.weights import Weights
from smdl.experiments.motifs.arms import FREE, Arm, after_training
from smdl.experiments.motifs.complexity import OWN, PARAMETERS, errors, matrices, measures, null_models
from smdl.experiments.motifs.file import encode
from smdl.experiments.motifs.models import initialised
from smdl.experiments.motifs.settings import Mosaics
from smdl.llc.chains import sample
from smdl.llc.estimate import estimate
from smdl.llc.state import StateStore
from smdl.models.loading import BlockLoss, block_losses
from smdl.rulers.codes.structured import dictionary_and_assignments, distinct_blocks
from smdl.rulers.proxies import COMPRESSORS
from smdl.sources.schedule import learning_rate
from smdl.sources.training import EVALUATED_AT_ONCE, Run

INITIALISED, TRAINED = "initialised", "trained"
OF_LLC = ("llc", "llc_se", "control", "control_se", "saturation", "status", "reason")
NO_LLC = {**dict.fromkeys(OF_LLC, np.nan), "status": "", "reason": ""}


@dataclass
class Measured:
    """What is known of a model: its file, and its rows of the tables of models, of complexity and of errors."""

    models: list[dict[str, Any]] = field(default_factory=list)
    complexity: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    file: bytes = b""


@dataclass(frozen=True)
class Blocks:
    """Token blocks of the text, each (blocks, context), and how many tokens there are."""

    training: np.ndarray
    test: np.ndarray
    sampling: np.ndarray
    vocabulary: int


def run(settings: Mosaics, architecture: str, arm: Arm, number: int, blocks: Blocks) -> Measured:
    """Train the model of that ``number`` in an ``arm`` and measure it; a free one is compressed afterwards, too."""
    its, seed = settings, settings.seed + number
    model = initialised(architecture, its.architecture, blocks.vocabulary, blocks.training.shape[1], seed, its.training)
    own, found = {"architecture": architecture, "arm": arm.name, "seed": number}, Measured()
    free = arm.name == FREE
    if free:
        _compare(found, own, INITIALISED, model, seed, its.levels)
    train(model, arm, its, seed, blocks.training)
    if free:
        _compare(found, own, TRAINED, model, seed, its.levels)
    else:
        for part in PARAMETERS:
            where = {**own, "stage": TRAINED, "part": part, "weights": OWN}
            found.complexity += _rows(where, "measure", "value", measures(matrices(model, part), its.levels))
    for other in after_training(its) if free else ():
        with compressed(model, other, seed):
            row = {"architecture": architecture, "seed": number, **described(model, other, blocks)[0], **NO_LLC}
            found.models.append(row)
    row, found.file = described(model, arm, blocks)
    found.models.append({"architecture": architecture, "seed": number, **row, **coefficient(model, its, seed, blocks)})
    return found


def train(model: nn.Module, arm: Arm, settings: Mosaics, seed: int, blocks: np.ndarray) -> None:
    """Train ``model`` for all steps, its weights as the arm says during them and in the end."""
    imposed = constraint(arm, settings.every) if arm.scheme else None
    run = Run(model, blocks, settings.training, seed, imposed)
    for step in range(settings.training.steps):
        if imposed and imposed.due(step):
            imposed.project(model, step)
        run.advance(learning_rate(step, settings.training))
    if imposed:
        imposed.project(model, run.step)
    model.eval()


def constraint(arm: Arm, every: int) -> Constraint:
    """What training meets in an arm that is not free."""
    return Constraint(registry.build(arm.scheme, dict(arm.variant)), arm.level, arm.mode, every)


@contextmanager
def compressed(model: nn.Module, arm: Arm, seed: int) -> Iterator[None]:
    """Within, the model has the arm's compressed weights; behind, its own again."""
    weights = Weights(model)
    try:
        constraint(arm, 1).project(model, seed)
        yield
    finally:
        weights.restore()


def described(model: nn.Module, arm: Arm, blocks: Blocks) -> tuple[dict[str, Any], bytes]:
    """The columns of the table ``motifs`` on a model's loss and bits, and its file."""
    weights, block = matrices(model), arm.described["s"]
    count = sum(tensor.size for tensor in weights.values())
    file = encode(weights, block)
    bits = 8 * len(file.data)
    mosaic = dict.fromkeys(("motifs", "dictionary_bits", "assignment_bits"))
    if block:
        assignments, motifs = distinct_blocks(list(weights.values()), block)
        parts = dictionary_and_assignments(assignments, len(motifs), block)
        mosaic = {"motifs": len(motifs), "dictionary_bits": parts.structure, "assignment_bits": parts.content}
    raw = b"".join(tensor.tobytes() for tensor in weights.values())
    return {
        **arm.described,
        "weights": count,
        "loss": block_losses(model, blocks.test, EVALUATED_AT_ONCE).mean(),
        "file_bits": bits,
        "bits_per_weight": bits / count,
        "form": file.form,
        **mosaic,
        "lzma_bits": 8 * len(COMPRESSORS["lzma"](raw)),
    }, file.data


def coefficient(model: nn.Module, settings: Mosaics, seed: int, blocks: Blocks) -> dict[str, Any]:
    """The LLC of ``model`` with its control; the model's weights are those of a chain afterwards."""
    loss, sampler = BlockLoss(model, blocks.sampling), settings.sampler
    baseline = block_losses(model, blocks.sampling, EVALUATED_AT_ONCE)
    with tempfile.TemporaryDirectory() as folder:
        store = StateStore(folder, "", np.inf)
        draws = sample(loss, baseline, sampler, range(settings.chains), seed, store)
    found = estimate(draws, sampler.n_beta, settings.gates)
    return {name: found[name] for name in OF_LLC}


def _compare(found: Measured, own: dict[str, Any], stage: str, model: nn.Module, seed: int, levels: int) -> None:
    """Measures and errors of the model's weights and of its null models."""
    for part in PARAMETERS:
        for name, weights in null_models(matrices(model, part), seed):
            where = {**own, "stage": stage, "part": part, "weights": name}
            found.complexity += _rows(where, "measure", "value", measures(weights, levels))
            found.errors += _rows(where, "scheme", "error", errors(model, part, weights, seed))


def _rows(where: dict[str, Any], name: str, value: str, of: dict[str, float]) -> list[dict[str, Any]]:
    return [{**where, name: key, value: number} for key, number in of.items()]
