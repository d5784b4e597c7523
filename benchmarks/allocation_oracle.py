"""Searches and scores against the oracle: every allocation of a model that is small enough to try them all.

    python benchmarks/allocation_oracle.py [--bits 2 3 4] [--quantizer round]     some minutes on 2 cores

A GPT-NeoX model of one layer and width 32 is trained on the spot on the King James Bible. Each of its eight matrices
gets each of the bits, and the loss of every allocation is taken on the same 16 calibration blocks; per budget the least
is the oracle. What is written to results/benchmarks/allocation_oracle.json is how far above it (nats) the allocations
of both searches and of every score that needs no ladder are, on the same blocks.
"""

import argparse
import json
import tempfile
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from smdl.allocation.bench import Bench, feasible
from smdl.allocation.database import tensor_errors
from smdl.allocation.divergence import Reference
from smdl.allocation.kept import Kept
from smdl.allocation.registry import SCORES
from smdl.allocation.score import Evidence
from smdl.allocation.search import Objective, evolve, greedy
from smdl.allocation.settings import Allocation
from smdl.allocation.solver import solve
from smdl.corpus.blocks import cut, read_tokens
from smdl.corpus.settings import PackageText
from smdl.models.loading import BlockLoss
from smdl.sources.schedule import learning_rate
from smdl.sources.train import Architecture, Training
from smdl.sources.training import Run, new_model
from smdl.tables import empty
from smdl.tables.allocation import LADDER

OUTPUT = Path("results/benchmarks/allocation_oracle.json")
CONTEXT, CALIBRATION, STEPS = 64, 16, 400
OF_A_LADDER = ("ladder", "restricted_llc")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bits", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--quantizer", choices=["round", "gptq"], default="round")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    settings = Allocation(bits=asked.bits, hessian_blocks=CALIBRATION, search={"blocks": CALIBRATION})
    model, blocks = trained()
    reference = Reference(model, blocks, CALIBRATION, lambda: model)
    bench = Bench(model, settings, asked.quantizer, blocks, dense_bits=16)
    objective = Objective(bench, reference)
    every = list(product(range(len(asked.bits)), repeat=len(bench.views)))
    losses = np.array([objective(choice) for choice in every])
    sizes = np.array([bench.effective(choice) for choice in every])
    budgets = feasible(bench, np.linspace(sizes.min(), sizes.max(), 12)[1:-1].round(2))
    oracle = {budget: losses[sizes <= budget].min() for budget in budgets}
    rows = [
        {"by": name, "budget": budget, "above": objective(choice) - oracle[budget]}
        for name, choices in chosen(bench, reference, settings, budgets).items()
        for budget, choice in choices.items()
    ]
    table = pd.DataFrame(rows).groupby("by")["above"].agg(["mean", "max"]).sort_values("mean")
    print(f"{len(every)} allocations, {len(budgets)} budgets\n{table.round(5).to_string()}")
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    report = {"allocations": len(every), "quantizer": asked.quantizer, "bits": asked.bits, "rows": rows}
    OUTPUT.write_text(json.dumps(report, indent=2) + "\n")


def trained() -> tuple[torch.nn.Module, np.ndarray]:
    """The trained model, and its calibration blocks."""
    text = PackageText(source="package", name="kjv", context=CONTEXT, blocks={"sampling": CALIBRATION, "evaluation": 2})
    tokens, vocabulary, _ = read_tokens(text)
    blocks, _ = cut(tokens, vocabulary, CONTEXT, dict(text.blocks), seed=0)
    training = Training(steps=STEPS, batch_size=32, lr=5e-3, warmup=20)
    model = new_model(Architecture(layers=1, hidden=32, heads=2), vocabulary, CONTEXT, 0, training)
    run = Run(model, blocks[CALIBRATION:], training, seed=0)
    for step in range(STEPS):
        run.advance(learning_rate(step, training))
    return model.eval(), blocks[:CALIBRATION]


def chosen(
    bench: Bench, reference: Reference, settings: Allocation, budgets: list[float]
) -> dict[str, dict[float, tuple[int, ...]]]:
    """The allocations of scores and searches, by budget."""
    bench.model.set_attn_implementation("eager")
    with tempfile.TemporaryDirectory() as folder:
        errors = tensor_errors(bench, reference, Kept(folder))
    evidence = Evidence(
        bench, reference, errors, empty(LADDER), lambda: BlockLoss(bench.model, reference.blocks), settings, seed=0
    )
    found = {}
    for name, score in SCORES.items():
        if name not in OF_A_LADDER:
            frontier = solve(score().damages(evidence), bench.sizes)
            found[name] = {budget: tuple(frontier.within(bench.budget(budget)).tolist()) for budget in budgets}
    starts = {budget: [own[budget] for own in found.values()] for budget in budgets}
    found["greedy"] = greedy(
        Objective(bench, reference), budgets, evidence.measured("delta_loss"), settings.search.candidates
    )
    found["evolutionary"] = {
        budget: evolve(Objective(bench, reference), budget, starts[budget], settings.search, (0, number))
        for number, budget in enumerate(budgets)
    }
    return found


if __name__ == "__main__":
    main()
