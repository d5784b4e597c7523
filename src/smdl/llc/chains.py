"""A block of chains, each with its control, sampled one after another, resumable at any step."""

import math
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from smdl.foundation.errors import StudyError
from smdl.llc.sampler import Loss, Step, Walker
from smdl.llc.saved import frame
from smdl.llc.settings import Memory, Sampler
from smdl.llc.state import StateStore
from smdl.tables.study import CONTROL, LOCALISED, POSTERIOR

FIRST_STEPS = 10
WARNING_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


def sample(
    loss: Loss,
    baseline: np.ndarray,
    settings: Sampler,
    chains: Sequence[int],
    seed: int,
    store: StateStore,
    memory: Memory | None = None,
    control: bool = True,
) -> pd.DataFrame:
    """Sample the chains of these numbers; a row per recorded step: kind, chain, draw, and what ``recorded`` gives.

    ``baseline`` holds the loss (nats) of every sampling sequence at w*, shape (loss.size,). ``draw`` is negative in
    burn-in. With ``control``, a chain's draws have beside them those of its control, and pairs of draws of the
    localisation alone. Saves its state when it is due, at the end of a chain, and when the process gets a warning
    signal, which then ends it with a StudyError; a later call with the same store goes on at the step after, and its
    rows are the same bit for bit.
    """
    walker = Walker(loss, settings, memory=memory, control=control)
    first, begun, rows = _resumed(walker, store)
    done = first * settings.steps + begun
    progress = tqdm(total=len(chains) * settings.steps, initial=done, unit="step", desc="chains", mininterval=5)
    with _warned() as warning, progress:
        for index in range(first, len(chains)):
            number, start = chains[index], begun if index == first else 0
            if start == 0:
                walker.reset()
                own = []
                for row in localised_rows(walker, seed, number, baseline) if control else ():
                    own.append(row)
                    if warning:
                        store.save({"chain": index, "step": 0, "rows": rows})
                        raise StudyError(_stopped(warning))
                rows += own
            for seen in walker.walk(seed, number, settings.n_beta, start):
                rows += rows_of(seen, settings, number, baseline)
                progress.update()
                if index == 0 and seen.step + 1 == FIRST_STEPS:
                    progress.write(stability_note(walker), file=sys.stderr)
                if seen.step + 1 == settings.steps:
                    store.save({"chain": index + 1, "step": 0, "rows": rows}, finished=index + 1 == len(chains))
                elif store.due or warning:
                    store.save({"chain": index, "step": seen.step + 1, "rows": rows}, _vectors(walker))
                if warning:
                    raise StudyError(_stopped(warning))
    return frame(rows)


def rows_of(seen: Step, settings: Sampler, number: int, baseline: np.ndarray) -> list[list]:
    """The rows of a chain's step, and of its control's; none between draws."""
    draw = settings.draw_of(seen.step)
    if draw is None:
        return []
    rows = [[POSTERIOR, number, draw, *recorded(seen, baseline)]]
    if seen.control is not None:
        rows.append([CONTROL, number, draw, *recorded(replace(seen, losses=seen.control, distance=math.nan), baseline)])
    return rows


def localised_rows(walker: Walker, seed: int, number: int, baseline: np.ndarray) -> Iterator[list]:
    """The rows of the pairs of draws of the localisation alone."""
    its = walker.settings
    for seen in walker.localised(seed, number, its.localised_draws, its.localised_batch):
        yield [LOCALISED, number, seen.step, *recorded(seen, baseline)]


def recorded(seen: Step, baseline: np.ndarray) -> list[float]:
    """What is kept of a step: loss, baseline, standard error of their difference over the minibatch, distance.

    ``baseline`` holds the loss (nats) of every sampling sequence at w*. Minibatches are drawn without replacement, so
    that the error of one that holds all sequences is zero; that of a single sequence is not known.
    """
    losses, own = seen.losses.double(), baseline[seen.sequences]
    batch = len(own)
    spread = float((losses - torch.from_numpy(own.astype(float)).to(losses.device)).std()) if batch > 1 else math.nan
    error = spread * math.sqrt((1 - batch / len(baseline)) / batch)
    return [losses.mean().item(), float(own.mean()), error, seen.distance]


def stability_note(walker: Walker) -> str:
    """What the log says of the stability bound after a chain's first steps."""
    largest, median = walker.stability()
    its = walker.settings
    note = f"lr G gamma / 2 is at most {largest:.3g}, in the median {median:.3g}, after {FIRST_STEPS} steps"
    if largest < 1:
        return f"{note}: stable"
    return (
        f"warning: {note}; from 1 on a step overshoots w*, from 2 on the chain diverges:"
        f" lower llc.lr (now {its.lr:g}) or llc.gamma (now {its.gamma:g}), or raise llc.eps_rms (now {its.eps_rms:g})"
    )


def _resumed(walker: Walker, store: StateStore) -> tuple[int, int, list[list]]:
    """Chain, step and rows to go on from; a chain that had begun is put back where it was."""
    saved = store.load()
    if saved is None:
        return 0, 0, []
    if saved.plain["step"]:
        saved.restore(_vectors(walker))
    return saved.plain["chain"], saved.plain["step"], saved.plain["rows"]


def _vectors(walker: Walker) -> dict[str, Tensor]:
    """The vectors that are a chain's state."""
    vectors = {"weights": walker.weights, "second_moment": walker.second_moment, "control": walker.control}
    return {name: vector for name, vector in vectors.items() if vector is not None}


def _stopped(warning: Sequence[str]) -> str:
    return f"stopped by {warning[0]}; the state is saved, run again to go on"


@contextmanager
def _warned() -> Iterator[list[str]]:
    """A list that receives the name of a warning signal when one comes; the former handlers come back at the end."""
    received: list[str] = []
    former = {number: signal.getsignal(number) for number in WARNING_SIGNALS}
    for number in WARNING_SIGNALS:
        signal.signal(number, lambda number, _: received.append(signal.Signals(number).name))
    try:
        yield received
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
