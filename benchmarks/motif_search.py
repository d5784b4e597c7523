"""The nearest-motif search at the shape of Pythia-70m: time and memory of a whole assignment, and of both searches.

    python benchmarks/motif_search.py [--lengths 4 16] [--capacity 0.01]     some five minutes on 2 cores

The blocks are those of a model of that shape with random weights (70 million, float32), the motifs blocks drawn from
them. Both searches, the k-d tree and all distances, are timed on the same sample of the blocks, in turn; the scheme's
own choice (smdl.compression.schemes.motifs.assign) then assigns all blocks, where the sample says that it takes no more
than five minutes; else its time is that of the sample, brought to all blocks. Each length has a process of its own, so
that its peak memory is its own. Writes results/benchmarks/motif_search.json.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch

from smdl.compression.schemes import motifs

OUTPUT = Path("results/benchmarks/motif_search.json")
# Layers, width, heads, vocabulary, context of Pythia-70m.
SHAPE = (6, 512, 8, 50304, 2048)
SAMPLE = 50_000
LONGEST = 300.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[4, 16], help="weights per motif")
    parser.add_argument("--capacity", type=float, default=0.01, help="motifs over blocks")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measured(asked.one, asked.capacity)))
        return
    command = [sys.executable, "-P", __file__, "--capacity", str(asked.capacity), "--one"]
    rows = []
    for length in asked.lengths:
        rows.append(json.loads(subprocess.run([*command, str(length)], check=True, stdout=subprocess.PIPE).stdout))
        print(rows[-1], flush=True)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps({"shape": SHAPE, "threads": torch.get_num_threads(), "rows": rows}, indent=2) + "\n")


def measured(length: int, capacity: float) -> dict[str, float | str]:
    """Seconds and memory of one length of motifs."""
    blocks = torch.cat([motifs.to_blocks(torch.from_numpy(tensor), length) for tensor in weights()])
    chosen = motifs.draw(blocks, round(capacity * len(blocks)), 0)
    sample = blocks[:: len(blocks) // SAMPLE][:SAMPLE]
    before = peak()
    seconds = {}
    for name, dimensions in (("tree", length), ("distances", 0)):
        seconds[name], found = timed(sample, chosen, dimensions)
        distance = (sample - chosen[found]).square().sum(1).double().sum().item()
        seconds[f"{name}_distance"] = distance
    search = "tree" if length <= motifs.TREE_DIMENSIONS else "distances"
    whole, measured = seconds[search] * len(blocks) / len(sample), False
    if whole <= LONGEST:
        (whole, _), measured = timed(blocks, chosen, motifs.TREE_DIMENSIONS), True
    return {
        "length": length,
        "blocks": len(blocks),
        "motifs": len(chosen),
        "search": search,
        "seconds": round(whole, 1),
        "measured_whole": measured,
        "weights_gb": round(blocks.numel() * 4 / 1e9, 2),
        "more_memory_gb": round(peak() - before, 2),
        "tree_over_distances": round(seconds["tree"] / seconds["distances"], 3),
        "same_squared_distance": abs(seconds["tree_distance"] / seconds["distances_distance"] - 1) < 1e-5,
    }


def timed(blocks: torch.Tensor, chosen: torch.Tensor, dimensions: int) -> tuple[float, torch.Tensor]:
    """Seconds of an assignment with trees up to so many dimensions, and the motifs found."""
    usual, motifs.TREE_DIMENSIONS = motifs.TREE_DIMENSIONS, dimensions
    start = time.monotonic()
    try:
        found = motifs.assign(blocks, chosen)
        return time.monotonic() - start, found
    finally:
        motifs.TREE_DIMENSIONS = usual


def weights() -> list:
    """The weights of a model of that shape."""
    from smdl.sources.train import Architecture
    from smdl.sources.training import new_model

    layers, hidden, heads, vocabulary, context = SHAPE
    model = new_model(Architecture(layers=layers, hidden=hidden, heads=heads), vocabulary, context, 0)
    return [parameter.detach().numpy() for parameter in model.parameters()]


def peak() -> float:
    """The most memory that this process has had so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()
