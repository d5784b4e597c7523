"""The search for critical levels against full curves, on checkpoints of the mini study.

    python benchmarks/search.py [--results results/mini] [--steps 300 1200]

takes the schemes of config.mini.yaml, evaluates each in both modes on those steps of every model, and writes
results/benchmarks/search.json: how many evaluations the search needed of the curve's, and how far its critical levels
are from the curve's, by scheme and together. ``largest_difference_bits`` is over schemes whose level is in bits,
``largest_difference_relative`` over the others, a share of the level itself (of sigma, not of its logarithm).
"""

import argparse
import json
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml

from smdl.compression.settings import SETTINGS, Measurement
from smdl.compression.sweep import sweep
from smdl.corpus.blocks import load_split, read_splits
from smdl.models.loading import block_losses, load
from smdl.settings.base import picked
from smdl.settings.config import validated
from smdl.study.study import Study

OUTPUT = Path("results/benchmarks/search.json")
KEY = ["model", "step", "scheme", "variant", "epsilon"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("results/mini"))
    parser.add_argument("--config", type=Path, default=Path("config.mini.yaml"))
    parser.add_argument("--steps", type=int, nargs="+", default=[300, 1200])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = validated(yaml.safe_load(arguments.config.read_text()), Study)
    rows = pd.DataFrame()
    for model, step in product(config["models"], arguments.steps):
        if step not in config["models"][model]["steps"]:
            continue
        rows = pd.concat([rows, measured(config, arguments.results, model, step)])
        report = {
            "checkpoints": [f"{model} step {step}" for model, step in rows.groupby(["model", "step"]).groups],
            **summary(rows),
            "schemes": {scheme: summary(own) for scheme, own in rows.groupby("scheme", sort=False)},
        }
        OUTPUT.parent.mkdir(parents=True, exist_ok=True)
        OUTPUT.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


def measured(config: dict, results: Path, model: str, step: int) -> pd.DataFrame:
    """Critical levels, evaluations and seconds of both modes, a row per scheme, variant and tolerance."""
    splits = read_splits(results / "corpus/splits.parquet")
    blocks, calibration = (
        load_split(results / "corpus/blocks.npy", splits, name) for name in ("evaluation", "calibration")
    )
    network = load(results / f"trained/{model}/step{step}")
    compression = config["compression"]
    reference = block_losses(network, blocks, compression["batch_size"])
    tables = []
    for scheme, own in compression["schemes"].items():
        modes = {}
        for mode in ("curve", "search"):
            started = time.perf_counter()
            how = picked(Measurement, {**compression, "mode": mode})
            curves, modes[mode] = sweep(network, blocks, reference, calibration, how, SETTINGS[scheme](**own))
            modes[mode] = modes[mode].assign(
                seconds=time.perf_counter() - started, passes=curves["blocks"].sum() / len(blocks)
            )
            print(model, step, scheme, mode, f"{modes[mode]['seconds'].iloc[0]:.1f} s", flush=True)
        both = modes["curve"].merge(modes["search"], on=["variant", "epsilon", "unit"], suffixes=("_curve", "_search"))
        tables.append(both.assign(scheme=scheme, model=model, step=step))
    return pd.concat(tables)


def summary(rows: pd.DataFrame) -> dict:
    """Evaluations are counted once per variant, differences over all tolerances where the curve has a crossing."""
    once = rows.drop_duplicates([name for name in KEY if name != "epsilon"])
    jobs = rows.drop_duplicates(["model", "step", "scheme"])
    crossing = rows[rows["coordinate_curve"].notna()]
    difference = (crossing["coordinate_search"] - crossing["coordinate_curve"]).abs().fillna(np.inf)
    bits = crossing["unit"] == "bits"
    logarithmic = crossing["unit"].str.startswith("log2")
    relative = (2**difference - 1).where(logarithmic, difference / crossing["coordinate_curve"].abs())
    return {
        "evaluations_ratio": round(once["evaluations_search"].sum() / once["evaluations_curve"].sum(), 4),
        "evaluations_search": int(once["evaluations_search"].sum()),
        "evaluations_curve": int(once["evaluations_curve"].sum()),
        "largest_difference_bits": largest(difference[bits]),
        "largest_difference_relative": largest(relative[~bits]),
        "crossings": len(crossing),
        "seconds_search": round(jobs["seconds_search"].sum(), 2),
        "seconds_curve": round(jobs["seconds_curve"].sum(), 2),
    }


def largest(differences: pd.Series) -> float | None:
    """The largest difference; None where no scheme has that unit."""
    return round(float(differences.max()), 5) if len(differences) else None


if __name__ == "__main__":
    main()
