"""What a search takes of a finished study: passes over its evaluation blocks for each tolerance and seed, by variant.

    python benchmarks/passes.py results/mini

Levels evaluated, and passes over all blocks (an evaluation that stopped early counts as the part that it passed). What
smdl.compression.passes counts on is shown beside them.
"""

import argparse
from pathlib import Path

import pandas as pd
import yaml

from smdl.compression.passes import PER_LEVEL, PER_TOLERANCE

CURVE = ["scheme", "variant", "model", "step", "seed"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    study = parser.parse_args().study
    curves = pd.read_csv(study / "tables/curves.csv")
    tolerances = len(yaml.safe_load((study / "config.yaml").read_text())["compression"]["epsilons"])
    curves["passes"] = curves["evaluations"] * curves["blocks"] / curves["blocks"].max()
    own = curves.groupby(CURVE).agg(
        levels=("level", "nunique"), passes=("passes", "sum"), tuned=("tuned", lambda values: values.notna().any())
    )
    own[["levels", "passes"]] /= tolerances
    own["counted"] = PER_TOLERANCE * own["tuned"].map({True: PER_LEVEL, False: 1})
    print(own.groupby(["scheme", "variant"])[["levels", "passes", "counted"]].mean().round(1))


if __name__ == "__main__":
    main()
