"""What TF32 and bfloat16 in the passes of a model change: losses of blocks, the LLC, and its standard error.

    python benchmarks/precision.py [--seeds 24]

On a model trained on the spot (``trained`` of llc_peer.py), with the same seeds in every precision, so that differences
are paired. A GPU computes in TF32 itself; elsewhere the factors of every product of matrices, forward and backward, are
rounded to the 10 bits that a GPU keeps of them. bfloat16 is ``llc.memory.autocast``.
"""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from llc_peer import BURN_IN, CHAINS, MODELS, ROOT, load, our_settings, prepare
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from smdl.llc.chains import sample
from smdl.llc.estimate import adjusted, excess_losses
from smdl.llc.state import StateStore
from smdl.models.loading import BlockLoss, block_losses
from smdl.tables.study import CONTROL, LOCALISED, POSTERIOR

PRODUCTS = {torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.bmm, torch.ops.aten.baddbmm}
DROPPED = 13


class Rounded(TorchDispatchMode):
    """Within, the two factors of every product of matrices have the bits of TF32, rounded to nearest, ties to even."""

    def __torch_dispatch__(self, operation: Any, types: Any, arguments: tuple = (), named: dict | None = None) -> Any:
        if operation.overloadpacket in PRODUCTS:
            arguments = (*arguments[:-2], *map(rounded, arguments[-2:]))
        return operation(*arguments, **(named or {}))


def rounded(factor: Tensor) -> Tensor:
    bits = factor.contiguous().view(torch.int32)
    half = (1 << (DROPPED - 1)) - 1 + (bits >> DROPPED & 1)
    return (bits + half & -(1 << DROPPED)).view(torch.float32)


@contextmanager
def precision(name: str, model: torch.nn.Module) -> Iterator[None]:
    """Within, the model's passes are in a precision; of bfloat16 the loss has to be told."""
    model.tf32 = name == "tf32"
    if name == "tf32" and not torch.cuda.is_available():
        with Rounded():
            yield
    else:
        yield
    model.tf32 = False


def measure(name: str, seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """The losses of all blocks (nats), and an estimate of the LLC per seed."""
    model, blocks = load(prepare("trained", ROOT / ".cache/llc_peer/trained"))
    # Attention as products of matrices that can be seen.
    model.set_attn_implementation("eager")
    about, autocast = MODELS["trained"], name == "bfloat16"
    sampler = our_settings(about, about["steps"]).changed(burn_in=BURN_IN, draws=about["steps"] - BURN_IN)
    estimates = []
    with precision(name, model), tempfile.TemporaryDirectory() as state:
        losses = block_losses(model, blocks, about["batch_size"], autocast)
        for seed in range(seeds):
            store = StateStore(f"{state}/{seed}", "none", 1e9)
            draws = sample(BlockLoss(model, blocks, autocast), losses, sampler, range(CHAINS), seed, store)
            draws = draws[draws["draw"] >= 0]
            parts = (excess_losses(draws, kind) for kind in (POSTERIOR, CONTROL, LOCALISED))
            estimates.append(float(adjusted(*parts, sampler.n_beta)["llc"]))
    return losses, np.array(estimates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=24)
    asked = parser.parse_args()
    exact_losses, exact = measure("float32", asked.seeds)
    print(
        f"float32: loss {exact_losses.mean():.5f}, LLC {exact.mean():.3f}, spread {exact.std(ddof=1):.3f}", flush=True
    )
    for name in ("tf32", "bfloat16"):
        losses, estimates = measure(name, asked.seeds)
        change, moved = losses - exact_losses, estimates - exact
        error = moved.std(ddof=1) / np.sqrt(asked.seeds)
        print(
            f"{name}: loss {change.mean():+.2g} (a block at most {np.abs(change).max():.2g}),"
            f" LLC {moved.mean():+.3g} +- {error:.2g} ({100 * moved.mean() / exact.mean():+.2g} %),"
            f" spread over float32's {estimates.std(ddof=1) / exact.std(ddof=1):.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
