"""A block of chains and their controls, sampled one after another, resumable at any step."""

import math
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from smdl.foundation.errors import StudyError
from smdl.llc.sampler import Loss, Step, Walker
from smdl.llc.settings import Memory, Sampler
from smdl.llc.state import StateStore
from smdl.tables.study import CONTROL, POSTERIOR

FIRST_STEPS = 10
RECORDED = ("loss", "baseline", "excess_se", "distance")
WARNING_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


@dataclass(frozen=True)
class Chain:
    """One chain to sample: its number, and whether it is a control (n_beta 0, same minibatches, same noise)."""

    kind: str
    number: int


def block(numbers: Sequence[int], control: bool) -> list[Chain]:
    """The chains of a job, each followed by its control where ``control`` is set."""
    kinds = (POSTERIOR, CONTROL) if control else (POSTERIOR,)
    return [Chain(kind, number) for number in numbers for kind in kinds]


def sample(
    loss: Loss,
    baseline: np.ndarray,
    settings: Sampler,
    chains: Sequence[Chain],
    seed: int,
    store: StateStore,
    memory: Memory | None = None,
) -> pd.DataFrame:
    """Sample ``chains`` and return a row a recorded step: kind, chain, draw, and what ``recorded`` gives.

    ``baseline`` holds the loss (nats) of every sampling sequence at w*, shape (loss.size,). ``draw`` is negative in
    burn-in. Saves its state when it is due and when the process gets a warning signal, which then ends it with a
    StudyError; a later call with the same store goes on at the step after, and its rows are the same bit for bit.
    """
    walker = Walker(loss, settings, memory=memory)
    state = store.load() or {"chain": 0, "step": 0, "rows": []}
    rows: list[list[float]] = state["rows"]
    if state["step"]:
        walker.weights.copy_(state["weights"])
        walker.second_moment.copy_(state["second_moment"])
    done = state["chain"] * settings.steps + state["step"]
    progress = tqdm(total=len(chains) * settings.steps, initial=done, unit="step", desc="chains", mininterval=5)
    with _warned() as warning, progress:
        for index in range(state["chain"], len(chains)):
            chain = chains[index]
            start = state["step"] if index == state["chain"] else 0
            if start == 0:
                walker.reset()
            n_beta = 0.0 if chain.kind == CONTROL else settings.n_beta
            for seen in walker.walk(seed, chain.number, n_beta, start):
                draw = settings.draw_of(seen.step)
                if draw is not None:
                    rows.append([index, draw, *recorded(seen, baseline)])
                progress.update()
                if index == 0 and seen.step + 1 == FIRST_STEPS:
                    progress.write(stability_note(walker), file=sys.stderr)
                if store.due or warning:
                    store.save(_state(index, seen.step + 1, rows, walker))
                if warning:
                    raise StudyError(f"stopped by {warning[0]}; the state is saved, run again to go on")
    return _frame(rows, chains)


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


def _state(chain: int, step: int, rows: list[list[float]], walker: Walker) -> dict:
    if step == walker.settings.steps:
        return {"chain": chain + 1, "step": 0, "rows": rows}
    return {
        "chain": chain,
        "step": step,
        "rows": rows,
        "weights": walker.weights,
        "second_moment": walker.second_moment,
    }


def _frame(rows: list[list[float]], chains: Sequence[Chain]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["chain", "draw", *RECORDED])
    index = frame["chain"].astype(int)
    frame["kind"] = [chains[i].kind for i in index]
    frame["chain"] = [chains[i].number for i in index]
    return frame.astype({"draw": int})


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
