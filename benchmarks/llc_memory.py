"""Memory of the sampler in each of its modes, bytes per parameter, and what each mode costs in accuracy.

    python benchmarks/llc_memory.py          writes results/benchmarks/llc_memory.json (some five minutes on 2 cores)

Memory: the peak of a fresh process over two steps, less that of one that only imports, at two sizes of a GPT-NeoX
model with so few tokens that activations do not count; bytes per parameter is the slope between the sizes. Accuracy:
the learning coefficient of a few linear networks of known answer, at the settings of make calibration.

    python benchmarks/llc_memory.py --gpus   prints what each Pythia size then needs, from that file
"""

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

from smdl.gpu.pythia import SHAPES, random_blocks, random_model

ROOT = Path(__file__).resolve().parent.parent

MODES = {
    "float32": {},
    "float32, gradient accumulated": {"sequences_at_once": 1},
    "anchor bfloat16": {"anchor": "bfloat16"},
    "anchor and second moment bfloat16": {"anchor": "bfloat16", "second_moment": "bfloat16"},
    "weights and anchor bfloat16": {"dtype": "bfloat16"},
    "weights and anchor bfloat16, gradient accumulated": {"dtype": "bfloat16", "sequences_at_once": 1},
    "weights, anchor and second moment bfloat16": {"dtype": "bfloat16", "second_moment": "bfloat16"},
}
SIZES, CONTEXT = ("pythia-70m", "pythia-160m"), 16
ACCURACY_CASES = 4
# How a chain may run: mode, and token blocks per backward pass (32: all of them, with checkpointing).
CHAINS = {
    "float32": ("float32", 32),
    "float32, 1 block at once": ("float32, gradient accumulated", 1),
    "anchor, V bfloat16": ("anchor and second moment bfloat16", 32),
    "bfloat16, V float32, 1 block at once": ("weights and anchor bfloat16, gradient accumulated", 1),
    "all bfloat16": ("weights, anchor and second moment bfloat16", 32),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "results/benchmarks/llc_memory.json")
    parser.add_argument("--gpus", action="store_true", help="what GPU each Pythia size fits, from the file")
    asked = parser.parse_args()
    if asked.gpus:
        print(gpus(json.loads(asked.output.read_text())["modes"]))
        return
    result = {"sizes": {size: parameters(size) for size in SIZES}, "modes": {}}
    imports = run("imports", SIZES[0])
    for mode in MODES:
        bytes_used = {size: run(mode, size) - imports for size in SIZES}
        small, large = SIZES
        slope = (bytes_used[large] - bytes_used[small]) / (parameters(large) - parameters(small))
        result["modes"][mode] = {"peak_bytes": bytes_used, "bytes_a_parameter": slope}
        print(mode, json.dumps(result["modes"][mode]), flush=True)
    for mode, options in MODES.items():
        if "sequences_at_once" not in options:
            result["modes"][mode]["ratio_to_truth"] = accuracy(options)
            print(mode, json.dumps(result["modes"][mode]["ratio_to_truth"]), flush=True)
    from smdl.foundation.files import replacing

    with replacing(asked.output) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n")


def gpus(measured: dict[str, dict]) -> str:
    """Memory (GB) of a chain of each Pythia size by mode, as a table in Markdown; minibatches of 32 blocks of 1024.

    Bytes a parameter as measured, times the weights; activations as in smdl.models.shape, or, with
    checkpointing, the inputs of all layers and what one layer keeps. Float32 weights compute under autocast.
    """
    lines = ["| Pythia | " + " | ".join(CHAINS) + " |", "|---" * (len(CHAINS) + 1) + "|"]
    for size, (layers, width, *_) in SHAPES.items():
        weights = parameters(size)
        needs = []
        for mode, blocks in CHAINS.values():
            held = 4 if mode.startswith(("float32", "anchor")) else 2
            kept = layers * width * held + 34 * width if blocks == 32 else 34 * width * layers
            needs.append(measured[mode]["bytes_a_parameter"] * weights + blocks * 1024 * (kept + 12 * 50432))
        lines.append(f"| {size.removeprefix('pythia-')} | " + " | ".join(_fit(need / 1e9) for need in needs) + " |")
    return "\n".join(lines)


def _fit(need: float) -> str:
    """GB and the smallest GPU that leaves a twentieth of its memory free."""
    card = next((card for card in (16, 24, 40, 48, 80, 141) if need <= 0.95 * card), None)
    return f"{need:.1f} ({card or 'none'})"


def parameters(size: str) -> int:
    """Weights of a GPT-NeoX model with untied embeddings."""
    layers, hidden, _, rows = SHAPES[size]
    return layers * (12 * hidden**2 + 13 * hidden) + 2 * hidden + 2 * rows * hidden


def run(mode: str, size: str) -> float:
    """Peak resident bytes of a fresh process."""
    command = [sys.executable, __file__, "--worker", mode, size]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def worker(mode: str, size: str) -> None:
    import torch
    from transformers import GPTNeoXForCausalLM  # noqa: F401 - its memory is no model's

    from smdl.llc.sampler import Walker
    from smdl.llc.settings import Memory, Sampler
    from smdl.models.loading import BlockLoss

    if mode != "imports":
        options = dict(MODES[mode])
        dtype = getattr(torch, options.pop("dtype", "float32"))
        # Drawn in that precision: a copy in float32 would be the peak.
        torch.set_default_dtype(dtype)
        model = random_model(size, CONTEXT, torch.device("cpu"), dtype)
        torch.set_default_dtype(torch.float32)
        blocks = random_blocks(8, CONTEXT)
        parts = options.pop("sequences_at_once", None)
        settings = Sampler(lr=1e-5, batch_size=2, draws=4, sequences_at_once=parts)
        for _ in Walker(BlockLoss(model, blocks), settings, memory=Memory(**options)).walk(0, 0, 30.0):
            pass
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def accuracy(options: dict[str, str]) -> list[float]:
    """Estimate over truth, case by case; the same seeds in every mode."""
    from smdl.experiments.known_answers.cases import cases
    from smdl.experiments.known_answers.measure import excess_losses
    from smdl.experiments.known_answers.settings import KnownAnswers
    from smdl.llc.settings import Memory, Sampler
    from smdl.settings.config import validated

    config = validated({"seed": 1}, KnownAnswers)
    family = config["families"]["reduced_rank"]
    settings = Sampler(**family["sampler"])
    dtype, kept = options.get("dtype", "float32"), {k: v for k, v in options.items() if k != "dtype"}
    return [
        settings.n_beta
        * excess_losses(case, settings, family["chains"], config["seed"], Memory(**kept), dtype).mean()
        / float(case.learning_coefficient)
        for case in cases("reduced_rank", family["cases"], config["seed"])[-ACCURACY_CASES:]
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(*sys.argv[2:])
    else:
        main()
