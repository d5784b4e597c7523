"""The curvature rulers beside curvlinops 3.0.1: products of the Hessian, its trace, the Fisher trace, time and memory.

    make mini && python benchmarks/curvature_peer.py     writes results/benchmarks/curvature_peer.json (minutes)

The peer is installed into an environment of its own (--folder), which reuses this environment's torch and transformers,
and both run there, in turn, in float64, on the same checkpoint of the mini study and the same blocks, with the same
vectors. Products are held against central differences of the gradient.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from llc_bias import Exact
from llc_peer import install_peer
from torch import nn

from smdl.corpus.blocks import load_split, read_splits
from smdl.foundation.files import replacing
from smdl.models.loading import load
from smdl.rulers.second_order.fisher import fisher_trace
from smdl.rulers.second_order.spectrum import gradient_of, hessian_of, signs

ROOT = Path(__file__).resolve().parent.parent
# Without what the peer asks for besides: its torchvision would bring another torch.
PEER = ("--no-deps", "curvlinops-for-pytorch==3.0.1", "backpack-for-pytorch==1.7.1", "unfoldNd==0.2.3", "einops==0.8.2",
        "einconv==0.1.0", "linear_operator==0.6.1", "opt_einsum==3.4.0")  # fmt: skip
BLOCKS, BATCH_SIZE = 16, 8
VECTORS = 24
FISHER_DRAWS = 24
DISTANCE = 1e-4
CHECKED = 3
OPTIONS = {"check_deterministic": False, "num_data": BLOCKS, "batch_size_fn": len}


class Logits(nn.Module):
    """A language model from token blocks to the logits of every next token, as the peer wants it: (N, V, T)."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=tokens).logits[:, :-1].transpose(1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, default=ROOT / "results/mini")
    parser.add_argument("--checkpoint", default="neox-2x64/step1200")
    parser.add_argument("--folder", type=Path, default=ROOT / ".cache/curvature_peer", help="environment")
    parser.add_argument("--output", type=Path, default=ROOT / "results/benchmarks/curvature_peer.json")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        print(json.dumps(compare(asked.study, asked.checkpoint)))
        return
    python = install_peer(asked.folder, *PEER)
    command = [python, __file__, "--worker", "--study", asked.study, "--checkpoint", asked.checkpoint]
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    found = json.loads(done.stdout.splitlines()[-1])
    with replacing(asked.output) as temporary:
        temporary.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


def compare(study: Path, checkpoint: str) -> dict[str, float]:
    """The largest relative difference of a product, the traces of both with their errors, and the ratio of times."""
    from curvlinops import HessianLinearOperator

    torch.set_num_threads(1)
    corpus = study / "corpus"
    blocks = load_split(corpus / "blocks.npy", read_splits(corpus / "splits.parquet"), "evaluation")[:BLOCKS]
    model = load(study / "trained" / checkpoint)
    model.set_attn_implementation("eager")
    loss = Exact(model, blocks)
    data = [(part, part[:, 1:]) for part in loss.blocks.split(BATCH_SIZE)]
    peer = HessianLinearOperator(Logits(model), nn.CrossEntropyLoss(), loss.parameters, data, **OPTIONS)
    products = {"ours": hessian_of(loss, BATCH_SIZE), "peer": lambda vector: peer @ vector}
    length = sum(parameter.numel() for parameter in loss.parameters)
    off, along, seconds = ({name: [] for name in products} for _ in range(3))
    for place in range(VECTORS):
        vector = signs(length, (0, place), torch.device("cpu")).double()
        truth = central_difference(loss, vector) if place < CHECKED else None
        for name, product in products.items():
            start = time.perf_counter()
            image = product(vector).detach()
            seconds[name].append(time.perf_counter() - start)
            along[name].append(float(torch.dot(vector, image)))
            if truth is not None:
                off[name].append(float((image - truth).norm() / truth.norm()))
    fisher = np.concatenate([fisher_trace(model, blocks, seed) for seed in range(FISHER_DRAWS)])
    fisher = fisher.reshape(FISHER_DRAWS, BLOCKS).mean(axis=1)
    theirs = peer_fisher(model, loss, data, length)
    return {
        "our_product_from_differences": max(off["ours"]),
        "peer_product_from_differences": max(off["peer"]),
        **of_trace("hessian_trace", along["ours"]),
        **of_trace("peer_hessian_trace", along["peer"]),
        **of_trace("fisher_trace", fisher),
        **of_trace("peer_fisher_trace", theirs),
        "peer_time_over_ours": float(np.median(seconds["peer"]) / np.median(seconds["ours"])),
    }


def of_trace(name: str, estimates: Sequence[float]) -> dict[str, float]:
    """The mean of independent estimates, and its standard error."""
    return {name: float(np.mean(estimates)), f"{name}_se": float(np.std(estimates, ddof=1) / np.sqrt(len(estimates)))}


def central_difference(loss: Exact, vector: torch.Tensor) -> torch.Tensor:
    """The product of the Hessian with ``vector`` from the gradients at two points near the weights."""
    parts = vector.split([parameter.numel() for parameter in loss.parameters])

    def gradient_at(distance: float) -> torch.Tensor:
        own = [parameter.detach().clone() for parameter in loss.parameters]
        with torch.no_grad():
            for parameter, part in zip(loss.parameters, parts, strict=True):
                parameter.add_(part.view_as(parameter), alpha=distance)
        gradient = gradient_of(loss, BATCH_SIZE)
        with torch.no_grad():
            for parameter, at in zip(loss.parameters, own, strict=True):
                parameter.copy_(at)
        return gradient

    return (gradient_at(DISTANCE) - gradient_at(-DISTANCE)) / (2 * DISTANCE)


def peer_fisher(model: nn.Module, loss, data: list, length: int) -> np.ndarray:
    """Estimates of the trace per token by the peer's exact Fisher (its generalized Gauss-Newton), one per vector."""
    from curvlinops import GGNLinearOperator

    operator = GGNLinearOperator(Logits(model), nn.CrossEntropyLoss(), loss.parameters, data, **OPTIONS)
    vectors = [signs(length, (1, place), torch.device("cpu")).double() for place in range(VECTORS)]
    return np.array([float(torch.dot(vector, operator @ vector)) for vector in vectors])


if __name__ == "__main__":
    main()
