"""What jobs declare of their memory against what they take, on a CPU, where all of it is main memory.

    python benchmarks/job_memory.py [JOB ...]       all schemes and rulers, or those named

A GPT-NeoX model of random weights, 30 million of them, stored in float16; each job in a process of its own, with the
shortest grids and so few tokens that the long vectors decide. Measured is the peak of anonymous resident memory over
that of the process before the job.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

SHAPE = {"vocab_size": 4096, "hidden_size": 640, "num_hidden_layers": 5, "num_attention_heads": 10}
CONTEXT, BLOCKS = 16, 4
FIRST = {"prune": {}}
RETRAINED = {"score": "output_norm", "retrain_steps": 2, "retrain_batch": 2}
# By the job's name here: the scheme, a variant and two levels; the first of them is evaluated too.
SWEEPS = {
    "quantize": ("quantize", {"range": "maximum", "scope": "tensor"}, [4, 16]),
    "factorize": ("factorize", {}, [0.3, 0.5]),
    "factorize, activations": ("factorize", {"weighting": "activations"}, [0.3, 0.5]),
    "noise": ("noise", {}, [0.1, 1]),
    "prune_heads": ("prune_heads", {}, [0.3, 0.5]),
    "prune_heads, retrained": ("prune_heads", RETRAINED, [0, 0.5]),
    "round": ("round", {}, [4, 16]),
    "gptq": ("gptq", {}, [4, 16]),
    "kmeans": ("kmeans", {"iterations": 1}, [4, 16]),
    "prune": ("prune", {}, [0.3, 0.5]),
    "prune, global": ("prune", {"scope": "global"}, [0.3, 0.5]),
    "prune, wanda": ("prune", {"score": "wanda", "scope": "row"}, [0.3, 0.5]),
    "motifs": ("motifs", {}, [1e-5, 1e-4]),
    "sequence, prune": ("sequence", {"first": FIRST, "first_level": 0.3, "second": {"round": {}}}, [4, 16]),
    "sequence, factorize": (
        "sequence",
        {"first": {"factorize": {}}, "first_level": 0.5, "second": {"round": {}}},
        [4, 16],
    ),
}
RULERS = {
    "bits_back": {"steps": 1, "samples": 2, "batch_size": 2},
    "coding": {"levels": (256,)},
    "curvature": {"blocks": 2, "batch_size": 1, "probes": 2, "lanczos": 2},
    "proxies": {},
    "bdm": {},
}
# A curve of one point at which nearly all blocks of weights differ: the most that the codes have to hold.
CURVE = {"level": [4096.0], "delta_loss": [0.01], "tuned": [float("nan")]}


def make(folder: Path) -> None:
    """A checkpoint of random weights."""
    import torch
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    torch.manual_seed(0)
    config = GPTNeoXConfig(**SHAPE, intermediate_size=4 * SHAPE["hidden_size"], tie_word_embeddings=False)
    GPTNeoXForCausalLM(config).half().save_pretrained(folder)


class Random:
    """A checkpoint as rulers see it, with random tokens in the place of a study's."""

    def __init__(self, folder: str):
        import numpy as np

        self.folder = folder
        self.blocks = np.random.default_rng(0).integers(0, SHAPE["vocab_size"], (BLOCKS, CONTEXT)).astype(np.uint32)

    def load(self, dtype="float32"):
        from smdl.models.loading import load

        return load(self.folder, dtype)

    def loss(self, split):
        from smdl.models.loading import BlockLoss

        return BlockLoss(self.load(), self.blocks)

    def smooth_loss(self, split, count):
        loss = self.loss(split)
        loss.model.set_attn_implementation("eager")
        loss.blocks, loss.size = loss.blocks[:count], count
        return loss

    def losses(self, split):
        import numpy as np

        return np.full(BLOCKS, 10.0)

    def stored(self):
        from smdl.models.loading import stored_weights

        return stored_weights(self.folder)


def measure(job: str, folder: str) -> tuple[float, float]:
    """Bytes that a job took in this process, and that it declares."""
    import pandas as pd
    import scipy.spatial
    import scipy.stats  # noqa: F401 - not to be counted, as all that a job imports
    import transformers.models.gpt_neox.modeling_gpt_neox  # noqa: F401
    from memory import Peak

    import smdl.compression.weights
    import smdl.rulers.codes.lengths
    import smdl.rulers.codes.noisy
    import smdl.rulers.second_order.fisher
    import smdl.rulers.second_order.spectrum

    # As of a large model: the originals are on disk.
    smdl.compression.weights.KEPT_BYTES = {"cpu": 0, "cuda": 0}
    from smdl.compression.memory import need_of_sweep
    from smdl.compression.registry import build as build_scheme
    from smdl.compression.settings import SETTINGS, Measurement
    from smdl.compression.sweep import sweep
    from smdl.models.shape import Shape
    from smdl.rulers.registry import build
    from smdl.rulers.ruler import Curve

    layers, width, vocabulary = (SHAPE[name] for name in ("num_hidden_layers", "hidden_size", "vocab_size"))
    shape = Shape(12 * layers * width**2 + 2 * vocabulary * width, width, layers, vocabulary)
    checkpoint = Random(folder)
    if job in SWEEPS:
        scheme, variant, levels = SWEEPS[job]
        settings = SETTINGS[scheme](variants={"a": variant}, levels=levels)
        how = Measurement(epsilons=[0.5], batch_size=1, mode="curve")
        need = need_of_sweep(settings.variants.values(), shape, 1, CONTEXT)
        with Peak() as peak:
            sweep(checkpoint.load(), checkpoint.blocks, checkpoint.losses(""), checkpoint.blocks, how, settings)
    else:
        ruler = build(job, RULERS[job])
        curve = Curve(build_scheme("quantize", {"range": "maximum"}), pd.DataFrame(CURVE), (0.1,), 16)
        need = ruler.cost(shape, "float32", CONTEXT, BLOCKS * CONTEXT).memory
        with Peak() as peak:
            ruler.measure(checkpoint, 0, curve)
    return peak.own, need.device + need.host


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("jobs", nargs="*", default=[*SWEEPS, *RULERS])
    parser.add_argument("--folder", help="(used by the script itself) measure in this process")
    arguments = parser.parse_args()
    if arguments.folder:
        print(json.dumps(measure(arguments.jobs[0], arguments.folder)))
        return
    print(f"{'job':24} {'measured (MB)':>13} {'declared (MB)':>13} {'declared over measured':>23}")
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        for job in arguments.jobs:
            command = [sys.executable, __file__, job, "--folder", folder]
            told = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
            took, declared = json.loads(told.splitlines()[-1])
            print(f"{job:24} {took / 1e6:13.0f} {declared / 1e6:13.0f} {declared / took:23.2f}", flush=True)


if __name__ == "__main__":
    main()
