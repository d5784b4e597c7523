"""The same work on the CPU and on a GPU: training, losses, chains, every scheme and every ruler agree."""

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import torch

from smdl.compression.settings import SETTINGS, Measurement, SchemeSettings
from smdl.compression.sweep import sweep
from smdl.foundation.errors import StudyError
from smdl.gpu import small
from smdl.llc.chains import sample
from smdl.llc.settings import Memory, Sampler
from smdl.llc.state import StateStore
from smdl.models.checkpoint import Checkpoint
from smdl.models.loading import on
from smdl.rulers.registry import RULERS
from smdl.rulers.ruler import Curve

CPU = torch.device("cpu")
FIRST_STEPS = 10
LOSS, CRITICAL, RELATIVE = 1e-4, 0.02, 1e-2
"""Tolerances: losses of blocks and draws (nats), critical levels (bits, or the axis's unit), figures of a ruler."""
EPSILON = 0.2
SAMPLER = Sampler(lr=1e-4, n_beta=30, gamma=300, batch_size=4, burn_in=0, draws=4, steps_between_draws=1)
# The losses that a chain asks for before its steps are those of its localisation, two a pair; then two a draw.
STOP_AFTER = 2 * SAMPLER.localised_draws + 3
COUNTS, FRACTIONS = (3, 6, 12, 24, 64), {"first": 0, "last": 1, "step": 0.25}
# The variants take every path that a scheme's code has on a device.
SCHEMES: Mapping[str, dict[str, Any]] = {
    "quantize": {"levels": COUNTS, "variants": {"minimised": {"range": "minimised"}, "maximum": {"range": "maximum"}}},
    "round": {"levels": COUNTS, "variants": {"channel": {}, "group": {"group": 16}}},
    "gptq": {"levels": COUNTS, "variants": {"channel": {"block": 16}, "group": {"group": 16}}},
    "kmeans": {"levels": COUNTS, "variants": {"kmeans": {}}},
    "factorize": {
        "levels": FRACTIONS,
        "variants": {"weights": {}, "activations": {"weighting": "activations", "skip_ends": 0, "stride": 1}},
    },
    "noise": {
        "levels": {"first": 0.01, "last": 4, "ratio": 1.5},
        "variants": {"relative": {}, "absolute": {"scale": "absolute"}},
    },
    "prune": {
        "levels": FRACTIONS,
        "variants": {"magnitude": {}, "wanda": {"score": "wanda", "scope": "row"}},
    },
    "prune_heads": {
        "levels": FRACTIONS,
        "variants": {
            **{score: {"score": score} for score in ("random", "output_norm", "weight_norm")},
            "retrained": {"score": "output_norm", "retrain_steps": 3, "retrain_lr": 1e-3, "retrain_batch": 8},
        },
    },
    "motifs": {
        "levels": {"first": 0.01, "last": 0.9, "ratio": 1.5},
        "variants": {"random": {}, "kmeans": {"choice": "kmeans", "iterations": 2}, "long": {"block": 16}},
    },
    "sequence": {
        "levels": COUNTS,
        "variants": {
            "sparse": {"first": {"prune": {}}, "first_level": 0.3, "second": {"quantize": {}}},
            "factors": {"first": {"factorize": {}}, "first_level": 0.3, "second": {"gptq": {}}},
        },
    },
}
RULER_SETTINGS: Mapping[str, dict[str, Any]] = {
    "bits_back": {"steps": 5, "samples": 2, "batch_size": 8, "tokens": 1e6},
    "curvature": {"blocks": 8, "batch_size": 8, "probes": 2, "lanczos": 4},
}

Found = TypeVar("Found")


class Agreement(NamedTuple):
    """The largest difference of a quantity between the two devices, and what it may be; ``note`` where it failed."""

    part: str
    what: str
    difference: float
    tolerance: float
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether both devices say the same."""
        return self.difference <= self.tolerance


def agreements(gpu: torch.device) -> Iterator[Agreement]:
    """Every comparison of the CPU with ``gpu``, each as soon as it is made; one that fails tells why and stops none."""
    text = small.bible()
    run = small.training(text)
    first = small.advance(run, FIRST_STEPS)
    yield _compared("training", "losses of the first steps", LOSS, lambda: _difference(first, _trained(text, gpu)))
    small.advance(run, small.TRAINING.steps - FIRST_STEPS)
    with small.checkpoint(run.model, text) as checkpoint:
        for part in (_losses, _chains, _resumed):
            yield from part(checkpoint, gpu)
        for name, settings in SCHEMES.items():
            yield from _scheme(checkpoint, gpu, name, SETTINGS[name].model_validate(settings))
        for name, ruler in RULERS.items():
            if ruler.tables:
                yield from _ruler(checkpoint, gpu, name)


def _trained(text: small.Text, gpu: torch.device) -> list[float]:
    with on(gpu):
        return small.advance(small.training(text), FIRST_STEPS)


def _losses(checkpoint: Checkpoint, gpu: torch.device) -> Iterator[Agreement]:
    def measured() -> np.ndarray:
        loss = checkpoint.loss("evaluation")
        return loss(np.arange(loss.size)).detach().cpu().numpy()

    yield _compared("losses", "blocks", LOSS, lambda: _difference(*_both(gpu, measured)))


def _chains(checkpoint: Checkpoint, gpu: torch.device) -> Iterator[Agreement]:
    variants = {
        "float32": Memory(),
        "second moment in bfloat16": Memory(second_moment="bfloat16"),
        "checkpointing": Memory(checkpointing=True),
    }
    for name, memory in variants.items():
        # What bfloat16 rounds one way here may be rounded the other way there.
        tolerance = LOSS if memory.second_moment == "float32" else 1e2 * LOSS
        both = lambda memory=memory: _both(gpu, lambda: _draws(checkpoint, memory))  # noqa: E731
        yield _compared("chains", name, tolerance, lambda both=both: _difference(*both()))
    fixed = SAMPLER.changed(preconditioner="fixed", sequences_at_once=3)
    yield _compared(
        "chains",
        "fixed preconditioner, sequences in parts",
        LOSS,
        lambda: _difference(*_both(gpu, lambda: _draws(checkpoint, Memory(), fixed))),
    )


def _draws(checkpoint: Checkpoint, memory: Memory, settings: Sampler = SAMPLER, stop_after: int = 0) -> np.ndarray:
    """The losses of all draws; with ``stop_after`` the chains are stopped at that many losses, and taken up again."""
    with TemporaryDirectory() as folder:
        calls = 0

        def run() -> pd.DataFrame:
            loss = checkpoint.loss("sampling", memory.autocast, memory.checkpointing)
            if stop_after:
                loss = _Stopping(loss, stop_after - calls)
            store = StateStore(folder, "check", interval=3600)
            return sample(loss, checkpoint.losses("sampling"), settings, range(1), 7, store, memory)

        if stop_after:
            with suppress(StudyError):
                run()
            calls = stop_after
        return run()["loss"].to_numpy()


class _Stopping:
    """A loss that sends its process the warning signal of a cluster once, when it is asked for the ``at``-th time."""

    def __init__(self, loss: Any, at: int):
        self._loss = loss
        self._left = at
        self.parameters, self.size = loss.parameters, loss.size

    def __call__(self, sequences: np.ndarray) -> torch.Tensor:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGUSR1)
        return self._loss(sequences)


def _resumed(checkpoint: Checkpoint, gpu: torch.device) -> Iterator[Agreement]:
    def difference() -> float:
        with on(gpu):
            return _difference(_draws(checkpoint, Memory()), _draws(checkpoint, Memory(), stop_after=STOP_AFTER))

    yield _compared("resume", "draws of a chain that was stopped", LOSS, difference)


def _scheme(checkpoint: Checkpoint, gpu: torch.device, name: str, settings: SchemeSettings) -> Iterator[Agreement]:
    how = Measurement(batch_size=16, epsilons=(EPSILON,))

    def critical() -> pd.DataFrame:
        model, blocks = small.model_of(checkpoint), checkpoint.blocks("evaluation")
        return sweep(model, blocks, checkpoint.losses("evaluation"), checkpoint.blocks("calibration"), how, settings)[1]

    def difference() -> float:
        cpu, here = _both(gpu, critical)
        return _difference(cpu["coordinate"], here["coordinate"])

    yield _compared("schemes", name, CRITICAL, difference)


def _ruler(checkpoint: Checkpoint, gpu: torch.device, name: str) -> Iterator[Agreement]:
    ruler = RULERS[name].model_validate(RULER_SETTINGS.get(name, {}))
    curve = None
    if ruler.follows:
        points = pd.DataFrame({"level": [4.0, 16.0], "delta_loss": [0.5, 0.01], "tuned": [0.5, 0.8]})
        scheme = next(iter(SETTINGS[ruler.follows].model_validate(SCHEMES[ruler.follows]).variants.values()))
        curve = Curve(scheme, points, (EPSILON,), 32)

    def figures() -> np.ndarray:
        found = ruler.measure(checkpoint, 1 if ruler.random else None, curve)
        rows = [checkpoint.rows(found[table.name]) for table in ruler.tables]
        return np.concatenate([own.select_dtypes("number").to_numpy(float).ravel() for own in rows])

    def difference() -> float:
        cpu, here = _both(gpu, figures)
        return _difference(cpu, here, scale=np.abs(cpu) + 1e-6)

    yield _compared("rulers", name, RELATIVE, difference)


def _both(gpu: torch.device, measured: Callable[[], Found]) -> tuple[Found, Found]:
    with on(CPU):
        first = measured()
    with on(gpu):
        return first, measured()


def _difference(first: Any, second: Any, scale: Any = 1.0) -> float:
    """The largest difference; numbers that are missing must be missing in both."""
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if first.shape != second.shape or not np.array_equal(np.isfinite(first), np.isfinite(second)):
        return float("inf")
    return float(np.nanmax(np.abs(first - second) / scale, initial=0.0, where=np.isfinite(first)))


def _compared(part: str, what: str, tolerance: float, difference: Callable[[], float]) -> Agreement:
    try:
        return Agreement(part, what, difference(), tolerance)
    except Exception as error:
        return Agreement(part, what, float("inf"), tolerance, f"{type(error).__name__}: {error}".splitlines()[0])
