"""The loss of token blocks beside the usual way to write it, forward and backward: time and peak memory, as ratios.

    python benchmarks/loss.py [--blocks 4] [--context 512] [--rounds 5]

The usual way cuts off the last logits, transposes them and takes the cross-entropy: each makes a copy of logits that
may be larger than the model. Ours takes the cross-entropy of a view (smdl.models.loading.sequence_losses). The logits,
of Pythia's vocabulary, are given, so that no model's time is counted. Both run in turn in one process.
"""

import argparse
import time
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import torch
from memory import Peak
from torch import Tensor, nn
from torch.nn import functional

from smdl.gpu.pythia import VOCABULARY
from smdl.models.loading import sequence_losses


class Logits(nn.Module):
    """A model whose only weights are the logits that it gives."""

    def __init__(self, blocks: int, context: int):
        super().__init__()
        self.logits = nn.Parameter(torch.randn(blocks, context, VOCABULARY))

    def forward(self, input_ids: Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.logits)


def usual(model: Logits, tokens: Tensor) -> Tensor:
    logits = model(input_ids=tokens).logits[:, :-1].transpose(1, 2).float()
    return functional.cross_entropy(logits, tokens[:, 1:], reduction="none").mean(dim=1)


def measure(losses: Callable[[Logits, Tensor], Tensor], model: Logits, tokens: Tensor) -> tuple[float, float]:
    """Seconds and peak bytes of the losses and their gradient."""
    model.logits.grad = None
    with Peak() as peak:
        start = time.perf_counter()
        losses(model, tokens).mean().backward()
        seconds = time.perf_counter() - start
    return seconds, peak.own


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    model = Logits(asked.blocks, asked.context)
    tokens = torch.randint(VOCABULARY, (asked.blocks, asked.context))
    assert torch.allclose(usual(model, tokens), sequence_losses(model, tokens), rtol=1e-5)
    found = [[measure(way, model, tokens) for way in (usual, sequence_losses)] for _ in range(asked.rounds)]
    for what, pairs in zip(("time", "peak memory"), np.moveaxis(np.array(found), 2, 0), strict=True):
        ratios = pairs[:, 0] / pairs[:, 1]
        print(f"{what}: the usual way over ours {np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
