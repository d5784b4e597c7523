"""How long the state of a chain takes to a disk and back.

    python benchmarks/state.py [--folder FOLDER] [--gb 4]

FOLDER is on the disk in question; three vectors in bfloat16 share the size.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch

from smdl.llc.state import StateStore


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("results"))
    parser.add_argument("--gb", type=float, default=4.0)
    arguments = parser.parse_args()
    names = ("weights", "second_moment", "control")
    vectors = {name: torch.randn(int(arguments.gb * 1e9 / 6)).bfloat16() for name in names}
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for what in ("save", "restore"):
            begun = time.monotonic()
            store = StateStore(folder, "digest", 0)
            store.save({"step": 1}, vectors) if what == "save" else store.load().restore(vectors)
            seconds = time.monotonic() - begun
            print(f"{what}: {arguments.gb:g} GB in {seconds:.1f} s, {arguments.gb / seconds:.2f} GB/s")


if __name__ == "__main__":
    main()
