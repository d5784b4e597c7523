"""How far the sampler is from the truth, by setting: pSGLD beside Hamiltonian Monte Carlo on the mini study's models.

    make mini && python benchmarks/llc_bias.py      writes results/benchmarks/llc_bias.csv (an hour on a core)

Both sample the same posterior, that of the first sampling blocks of the study at (n_beta, gamma), around the same
weights: the reference with all blocks at a time, in float64, accepting or refusing each draw; the sampler by
minibatches, with the adaptive and the fixed preconditioner, at two learning rates. The bias is the sampler's LLC over
the reference's, less one, with the standard errors of both.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from smdl.corpus.blocks import load_split, read_splits
from smdl.foundation.files import replacing
from smdl.llc import hmc
from smdl.llc.chains import frame, localised_rows, rows_of
from smdl.llc.diagnostics import diagnose
from smdl.llc.estimate import estimate
from smdl.llc.sampler import Walker
from smdl.llc.settings import Gates, Sampler
from smdl.models.loading import BlockLoss, block_losses, load

ROOT = Path(__file__).resolve().parent.parent
CHECKPOINTS = ("neox-2x64/step200", "neox-2x64/step1200", "neox-3x64/step1200")
# n_beta, gamma, and the learning rate that the first of both is; the second is half of it.
SETTINGS = ((30.0, 300.0, 1e-4), (100.0, 1000.0, 2e-5), (300.0, 1000.0, 1e-5), (300.0, 3000.0, 5e-6))
CHAINS = 4
# Relaxation times of the localisation, 2 / (lr G gamma) at the least preconditioner, that a chain leaves out and takes.
LEFT_OUT, TAKEN = 3, 8


class Exact:
    """The mean loss of token blocks in float64, attention included."""

    def __init__(self, model: torch.nn.Module, blocks: np.ndarray):
        self.model, self.blocks = model.double(), torch.from_numpy(blocks.astype(np.int64))
        self.parameters, self.size = list(model.parameters()), len(blocks)

    def __call__(self, sequences: np.ndarray) -> torch.Tensor:
        tokens = self.blocks[sequences]
        logits = self.model(input_ids=tokens).logits[:, :-1]
        return functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none").mean(dim=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, default=ROOT / "results/mini")
    parser.add_argument("--output", type=Path, default=ROOT / "results/benchmarks/llc_bias.csv")
    parser.add_argument("--checkpoints", nargs="+", default=CHECKPOINTS, choices=CHECKPOINTS)
    parser.add_argument("--blocks", type=int, default=32, help="token blocks that the posterior is of")
    parser.add_argument("--draws", type=int, default=24, help="draws of the reference, in each of two chains")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    corpus = asked.study / "corpus"
    blocks = load_split(corpus / "blocks.npy", read_splits(corpus / "splits.parquet"), "sampling")[: asked.blocks]
    rows = []
    for checkpoint, (n_beta, gamma, lr) in itertools.product(asked.checkpoints, SETTINGS):
        folder = asked.study / "trained" / checkpoint
        found = hmc.sample(Exact(load(folder), blocks), n_beta, gamma, 2, asked.draws // 3, asked.draws, 16, seed=1)
        truth, truth_se = n_beta * found.excess.mean(), n_beta * diagnose(found.excess).se
        common = {"checkpoint": checkpoint, "n_beta": n_beta, "gamma": gamma, "reference": truth}
        common |= {"reference_se": truth_se, "acceptance": found.acceptance, "gradients": found.gradients}
        for preconditioner, rate in itertools.product(("adaptive", "fixed"), (lr, lr / 2)):
            own = sampled(folder, blocks, n_beta, gamma, rate, preconditioner)
            for name in ("llc_plain", "llc"):
                bias = own[name] / truth - 1
                error = np.hypot(own[f"{name}_se"] / truth, own[name] * truth_se / truth**2)
                rows.append(
                    {
                        **common,
                        **{"preconditioner": preconditioner, "lr": rate, "estimate": name, "value": own[name]},
                        **{"value_se": own[f"{name}_se"], "bias": bias, "bias_se": error, "r_hat": own["r_hat"]},
                    }
                )
        with replacing(asked.output) as temporary:
            pd.DataFrame(rows).to_csv(temporary, index=False)
        print(pd.DataFrame(rows[-8:]).drop(columns=["acceptance", "gradients"]).to_string(index=False), flush=True)


def sampled(
    folder: Path, blocks: np.ndarray, n_beta: float, gamma: float, lr: float, preconditioner: str
) -> dict[str, float]:
    """The sampler's estimates, from chains as long as the localisation takes to forget its start so many times."""
    time = 2 * 0.2 / (lr * gamma)
    its = Sampler(
        lr=lr, n_beta=n_beta, gamma=gamma, preconditioner=preconditioner, batch_size=8,
        burn_in=int(LEFT_OUT * time), draws=int(TAKEN * time),
    )  # fmt: skip
    model = load(folder)
    baseline = block_losses(model, blocks, 32)
    walker, rows = Walker(BlockLoss(model, blocks), its, control=True), []
    for chain in range(CHAINS):
        walker.reset()
        rows += localised_rows(walker, 1, chain, baseline)
        for seen in walker.walk(1, chain, n_beta):
            rows += rows_of(seen, its, chain, baseline)
    return estimate(frame(rows), n_beta, Gates())


if __name__ == "__main__":
    main()
