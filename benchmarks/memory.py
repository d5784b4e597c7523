"""Peak memory of loading a checkpoint, of a compression sweep and of a chain, as multiples of the weights' bytes.

    python benchmarks/memory.py 160m 410m [--dtype float32]

Random weights at the shapes of Pythia, stored in float16 as the suite is. Each figure is the peak resident set of a
process of its own over that process before the call, once with all resident pages and once without those of mapped
files, which the kernel takes back when it needs them. Blocks of 16 tokens, so that activations hardly count.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

CONTEXT, BLOCKS = 16, 4


def make(shape: str, folder: Path) -> None:
    """A checkpoint of random weights in float16."""
    import torch

    from smdl.gpu.pythia import random_model

    random_model(f"pythia-{shape}", 2048, torch.device("cpu"), torch.float16).save_pretrained(folder)


class Peak:
    """The largest resident set (bytes), with and without pages of mapped files, between enter and exit."""

    def __enter__(self) -> "Peak":
        self.start, self.all, self.own = _resident(), 0, 0
        self.running = True
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.running = False
        self.thread.join()

    def _watch(self) -> None:
        while self.running:
            resident, own = _resident()
            self.all = max(self.all, resident - self.start[0])
            self.own = max(self.own, own - self.start[1])
            time.sleep(0.002)


def _resident() -> tuple[int, int]:
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return tuple(1024 * int(fields[name].split()[0]) for name in ("VmRSS", "RssAnon"))


def measure(what: str, folder: str, dtype: str) -> dict[str, float]:
    """The multiples of one call in this process."""
    import numpy as np
    import transformers.models.gpt_neox.modeling_gpt_neox  # noqa: F401 - not to be counted as the model

    from smdl.compression.settings import SETTINGS, Measurement
    from smdl.compression.sweep import sweep
    from smdl.gpu.pythia import random_blocks
    from smdl.llc.chains import sample
    from smdl.llc.settings import Sampler
    from smdl.llc.state import StateStore
    from smdl.models.loading import BlockLoss, load

    blocks = random_blocks(BLOCKS, CONTEXT).astype(np.uint32)
    with Peak() as peak:
        model = load(folder, dtype)
        if what == "sweep":
            variants = {"maximum": {"range": "maximum", "scope": "tensor", "parameters": "all"}}
            settings = SETTINGS["quantize"](variants=variants, levels=[4, 64])
            how = Measurement(epsilons=[0.5], batch_size=1, mode="curve")
            sweep(model, blocks, np.full(BLOCKS, 10.0), blocks, how, settings)
        if what == "chain":
            sampler = Sampler(lr=1e-5, batch_size=1, draws=4)
            with tempfile.TemporaryDirectory() as state:
                store = StateStore(state, "none", 1e9)
                sample(BlockLoss(model, blocks), np.zeros(BLOCKS), sampler, [0], 0, store)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    return {"weights_gb": weights / 1e9, "peak": peak.all / weights, "peak_without_files": peak.own / weights}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shapes", nargs="*", default=["160m", "410m"])
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--what", nargs="*", default=["load", "sweep", "chain"])
    parser.add_argument("--folder", help="(used by the script itself) measure in this process")
    arguments = parser.parse_args()
    if arguments.folder:
        print(json.dumps(measure(arguments.what[0], arguments.folder, arguments.dtype)))
        return
    print(f"{'shape':6} {'what':6} {'weights (GB)':>12} {'peak':>6} {'without files':>14}   ({arguments.dtype})")
    for shape in arguments.shapes:
        with tempfile.TemporaryDirectory() as folder:
            make(shape, Path(folder))
            for what in arguments.what:
                command = [sys.executable, __file__, shape, "--what", what, "--folder", folder]
                told = subprocess.run([*command, "--dtype", arguments.dtype], stdout=subprocess.PIPE, check=True).stdout
                found = json.loads(told.splitlines()[-1])
                line = f"{shape:6} {what:6} {found['weights_gb']:12.3f} {found['peak']:6.2f}"
                print(f"{line} {found['peak_without_files']:14.2f}", flush=True)


if __name__ == "__main__":
    main()
