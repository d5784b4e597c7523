"""What was looked at in the population after its verdicts: nothing here was written down beforehand.

    make population && python benchmarks/population_afterwards.py

Prints, of the decayed checkpoints at the expectations' tolerance: how alike LLC and control rank them and what the
published line explains, per stratum; how decay moves each critical level; and the partial tau of LLC, control and their
ratio with the family of grids, given fewer and fewer rivals.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from smdl.analysis.population.observations import Population, errors_of, factor_levels, predictors
from smdl.analysis.population.settings import Expectations
from smdl.analysis.population.statistics import Statistics
from smdl.settings.configfile import load
from smdl.tables import read_table
from smdl.tables.study import CHECKPOINT

ROOT = Path(__file__).resolve().parent.parent
WRITTEN = load(ROOT / "expectations.population.yaml")["population"]["expectations"]
RATIO, JUDGED = "llc over control (fair)", ("llc (fair)", "llc control (fair)")
GIVEN = (
    ("loss", "control", "fisher trace", "norm", "log d"),
    ("loss", "fisher trace", "norm", "log d"),
    ("loss", "norm", "log d"),
    ("loss", "log d"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, default=ROOT / "results/population")
    study = parser.parse_args().study
    tables = {path.stem: read_table(path) for path in (study / "tables").glob("*.parquet")}
    rows = tables["observations"]
    rows = rows[np.isclose(rows["epsilon"], WRITTEN["epsilon"])]
    found = predictors(tables["measures"], tables["checkpoints"], tables["covariates"])
    found[RATIO] = found["llc (fair)"] / found["llc control (fair)"]
    decayed = rows[rows["stage"] == "decayed"]

    for stratum, own in decayed[decayed["scheme"] == "quantize"].groupby("stratum"):
        bits = own.set_index(CHECKPOINT)["incompressibility"]
        at = found.reindex(bits.index)
        ranks = at["llc (fair)"].corr(at["llc control (fair)"], method="spearman")
        line = bits.corr(at["llc (published)"]) ** 2
        print(f"{stratum}: n {len(own)}, Spearman of LLC and control {ranks:.2f}, R2 of the published line {line:.2f}")

    # The stable checkpoints are those of the last target alone.
    last = decayed[decayed["stratum"] == decayed["stratum"].min()]
    both = pd.concat([rows[rows["stage"] == "stable"], last])
    rise = both.pivot_table(index=["run", "scheme"], columns="stage", values="incompressibility").dropna()
    rise = (rise["decayed"] - rise["stable"]).groupby("scheme").agg(["size", lambda x: (x > 0).sum(), "mean"])
    print("\n" + rise.set_axis(["runs", "raised", "mean rise"], axis=1).round(2).to_string())

    grids = decayed[decayed["scheme"].isin(WRITTEN["families"]["grids"])]
    population = Population(
        grids, found, errors_of(tables["llc"]), factor_levels(tables["design"], tables["covariates"])
    )
    for given in GIVEN:
        written = Expectations(**{**WRITTEN, "given": list(given), "predictors": [*JUDGED, RATIO]})
        told = Statistics(population, written, 0).associations()
        told = told.loc[told["outcome"] == "", ["predictor", "partial_tau", "partial_tau_low", "partial_tau_high"]]
        print(f"\ngiven {', '.join(given)}\n{told.round(2).to_string(index=False)}")


if __name__ == "__main__":
    main()
