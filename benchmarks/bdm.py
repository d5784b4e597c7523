"""The block decomposition method beside pybdm 0.1.0: its tables, its values, its time, and where random bits saturate.

    python benchmarks/bdm.py tables         makes src/smdl/rulers/codes/ctm.npz from the tables of pybdm (MIT licence)
    python benchmarks/bdm.py values         makes tests/bdm_values.csv: pybdm's values of 1,000 strings and matrices
    python benchmarks/bdm.py speed          time against pybdm and lzma, writes results/benchmarks/bdm.json (a minute)
    python benchmarks/bdm.py saturation     the table of docs/findings/complexity.md

pybdm is installed into an environment of its own (--folder), with a setuptools that still has pkg_resources. Its tables
are pickles: they are read without running what a pickle may ask for.
"""

import argparse
import csv
import gzip
import json
import lzma
import pickle
import subprocess
import sys
import time
import timeit
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PEER = ("pybdm==0.1.0", "setuptools<81")
TABLES = {
    "ctm-b2-d12.pkl.gz": "d97c1c3f59876353d3ef4d8b38087fd0ff447f4ac473dbe9b35b7ef7058a7eb1",
    "ctm-b2-d4x4.pkl.gz": "d6e8ad059099c313fe4e1867721b7bf125883d8b783ceff5abb36e870537241a",
}
VALUES = ROOT / "tests/bdm_values.csv"
BOUNDARIES = ("ignore", "recursive")
STRINGS = MATRICES = 500
LONGEST, WIDEST = 400, 20
REPEATS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["tables", "values", "speed", "saturation", "peer"], help="peer: used inside")
    parser.add_argument("--folder", type=Path, default=ROOT / ".cache/bdm", help="environment of pybdm")
    asked = parser.parse_args()
    match asked.what:
        case "tables":
            convert(install(asked.folder))
        case "values":
            write_values(install(asked.folder))
        case "speed":
            speed(install(asked.folder))
        case "saturation":
            saturation()
        case "peer":
            answer()


def install(folder: Path) -> Path:
    """The Python of an environment that has pybdm, made once."""
    python = folder / "bin/python"
    if not (folder / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PEER], check=True)
        (folder / "installed").touch()
    return python


class Tables(pickle.Unpickler):
    """Reads dictionaries of numbers; a pickle that asks for anything else is refused before it runs."""

    def find_class(self, module: str, name: str) -> type:
        known = {"collections.defaultdict": defaultdict, "collections.OrderedDict": OrderedDict}
        if f"{module}.{name}" not in known:
            raise pickle.UnpicklingError(f"a table of numbers does not need {module}.{name}")
        return known[f"{module}.{name}"]


def convert(python: Path) -> None:
    """The tables as arrays by the shape of a block: a value for each kind that begins with 0, in their order."""
    from smdl.foundation.files import replacing

    (folder,) = python.parent.parent.glob("lib/python*/site-packages/pybdm/ctmdata")
    arrays = {}
    for name, digest in TABLES.items():
        data = (folder / name).read_bytes()
        if sha256(data).hexdigest() != digest:
            sys.exit(f"{name} is not the table of pybdm 0.1.0")
        for shape, table in Tables(BytesIO(gzip.decompress(data))).load().items():
            kinds = [format(kind, f"0{np.prod(shape)}b") for kind in range(2 ** (int(np.prod(shape)) - 1))]
            if set(kinds) != set(table):
                sys.exit(f"{name} does not have one value for each kind of {shape}")
            arrays["x".join(map(str, shape))] = np.array([table[kind] for kind in kinds])
    with replacing(ROOT / "src/smdl/rulers/codes/ctm.npz") as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)


def write_values(python: Path) -> None:
    """Random strings and matrices, fair and unfair bits, a third of them a repeated pattern; and pybdm's values."""
    from smdl.foundation.files import replacing

    rng = np.random.default_rng(0)
    shapes = [(int(rng.integers(1, LONGEST + 1)),) for _ in range(STRINGS)]
    shapes += [tuple(map(int, rng.integers(1, WIDEST + 1, size=2))) for _ in range(MATRICES)]
    rows = []
    for shape in shapes:
        ones = rng.choice([0.5, 0.5, 0.9, 0.0, rng.random()])
        bits = rng.random(shape) < ones
        if rng.random() < 1 / 3:
            period = rng.choice([1, 2, 4, 12, 24])
            bits = np.resize(bits.ravel()[:period], shape)
        rows.append(("x".join(map(str, shape)), np.packbits(bits).tobytes().hex()))
    answers = ask(python, [(*row, boundary) for row in rows for boundary in BOUNDARIES])
    found = [value for value, _ in answers]
    with replacing(VALUES) as temporary, open(temporary, "w", newline="") as file:
        file.write("# BDM (bits) of random bits by pybdm 0.1.0; bits are packed, as hexadecimals.\n")
        file.write("# Made by: python benchmarks/bdm.py values\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["shape", "bits", *BOUNDARIES])
        writer.writerows((*row, *values) for row, *values in zip(rows, found[::2], found[1::2], strict=True))


def ask(python: Path, questions: list[tuple[str, str, str]]) -> list[tuple[float, float]]:
    """The value and the seconds of pybdm for each question (shape, hexadecimals, boundary)."""
    asked = [python, __file__, "peer"]
    done = subprocess.run(asked, input=json.dumps(questions), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def answer() -> None:
    """In the environment of pybdm: questions on standard input, values and seconds on standard output."""
    from pybdm import BDM
    from pybdm.partitions import PartitionIgnore, PartitionRecursive

    partitions = {"ignore": PartitionIgnore, "recursive": PartitionRecursive}
    found = []
    for shape, digits, boundary in json.load(sys.stdin):
        bits = bits_of(shape, digits).astype(int)
        bdm = BDM(ndim=bits.ndim, partition=partitions[boundary], raise_if_zero=False)
        start = time.perf_counter()
        found.append((bdm.bdm(bits), time.perf_counter() - start))
    json.dump(found, sys.stdout)


def bits_of(shape: str, digits: str) -> np.ndarray:
    """The bits behind a row of the values: booleans of that shape."""
    extents = tuple(map(int, shape.split("x")))
    packed = np.frombuffer(bytes.fromhex(digits), np.uint8)
    return np.unpackbits(packed, count=int(np.prod(extents))).astype(bool).reshape(extents)


def speed(python: Path) -> None:
    """Seconds for a million random bits, and those of pybdm and of lzma over ours; the least of some runs in turn."""
    from smdl.foundation.files import replacing
    from smdl.rulers.bdm import block_decompositions
    from smdl.rulers.codes.block_decomposition import decompose

    rng = np.random.default_rng(0)
    result = {}
    for shape in ((10**6,), (1000, 1000)):
        bits = rng.random(shape) < 0.5
        name, packed = "x".join(map(str, shape)), np.packbits(bits).tobytes()
        answers = ask(python, REPEATS * [(name, packed.hex(), "ignore")])
        ours = least(lambda bits=bits: decompose(bits).bdm)
        result[name] = {
            "seconds_per_million_bits": ours,
            "pybdm_over_ours": min(took for _, took in answers) / ours,
            "lzma_over_ours": least(partial(lzma.compress, packed, preset=9)) / ours,
            "difference_from_pybdm": decompose(bits).bdm - answers[0][0],
        }
    # Signs and eight planes of codes, as strings and as matrices, quantization and random bits of that shape included.
    weights = {"w": rng.normal(size=(1000, 1000)).astype(np.float32)}
    result["ruler_seconds_per_million_bits"] = least(partial(block_decompositions, weights, 256, "ignore")) / 9
    print(json.dumps(result, indent=2))
    with replacing(ROOT / "results/benchmarks/bdm.json") as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n")


def least(work: Callable[[], object]) -> float:
    """Seconds of the fastest of some runs."""
    return min(timeit.repeat(work, number=1, repeat=REPEATS))


def saturation() -> None:
    """BDM per bit of fair random bits by their number, and the share of kinds of block that occur."""
    from smdl.rulers.codes.block_decomposition import decompose

    rng = np.random.default_rng(0)
    print("| bits | string: BDM per bit | kinds seen | matrix: BDM per bit | kinds seen |")
    print("|---|---|---|---|---|")
    for side in (12, 48, 120, 480, 1200, 4800, 12000):
        string = decompose(rng.integers(2, size=side**2, dtype=np.uint8))
        matrix = decompose(rng.integers(2, size=(side, side), dtype=np.uint8))
        cells = [f"{found.bdm / found.bits:.3f} | {found.kinds:.3f}" for found in (string, matrix)]
        print(f"| {side**2:,} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
