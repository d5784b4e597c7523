"""What effect would the population have shown? Planted effects, and how often each verdict is given.

    python benchmarks/population_power.py      writes results/benchmarks/population_power.csv (some minutes on 2 cores)

Each row is a planted partial correlation of LLC and outcome, all else held fixed, in populations of about the size of
config.population.yaml (15 base points with 5 neighbours each, 90 runs, two strata of matched loss, after the decay):
the mean partial tau over the families, the mean width of its interval, and the shares of the
verdicts on the claim ``foretells``.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pandas as pd

from smdl.analysis.population.judge import judge
from smdl.analysis.population.observations import Population, errors_of, factor_levels, observations, predictors
from smdl.analysis.population.settings import Expectations
from smdl.analysis.population.simulated import Truth, simulate
from smdl.analysis.population.statistics import Statistics
from smdl.foundation.files import replacing
from smdl.settings.configfile import load

ROOT = Path(__file__).resolve().parent.parent
WRITTEN = load(ROOT / "expectations.population.yaml")["population"]["expectations"]
EFFECTS = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6)
CLAIM = "foretells"
POINTS, TARGETS = 15, (2.2, 2.0)
# One scheme per family of the claim, and what its conditions speak of.
SCHEMES = ("quantize", "prune", "motifs")
JUDGED = ("llc (fair)", "llc control (fair)", "fisher trace")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--populations", type=int, default=40, help="simulated populations per effect")
    parser.add_argument("--output", type=Path, default=ROOT / "results/benchmarks/population_power.csv")
    asked = parser.parse_args()
    rows = []
    with ProcessPoolExecutor() as pool:
        for effect in EFFECTS:
            found = pd.DataFrame(pool.map(partial(judged, effect), range(asked.populations)))
            shares = found["verdict"].value_counts(normalize=True)
            rows.append(
                {
                    "effect": effect,
                    "partial_tau": found["partial_tau"].mean(),
                    "interval": found["interval"].mean(),
                    **{verdict: shares.get(verdict, 0.0) for verdict in ("confirmed", "undecided", "refuted")},
                }
            )
    table = pd.DataFrame(rows)
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    with replacing(asked.output) as temporary:
        table.to_csv(temporary, index=False)
    print(table.round(2).to_string(index=False))


def judged(effect: float, seed: int) -> dict[str, float | str]:
    """The verdict on one simulated population, and the partial tau that it rests on."""
    claims = {CLAIM: WRITTEN["claims"][CLAIM]}
    written = Expectations(
        **{**WRITTEN, "predictors": list(JUDGED), "claims": claims, "resamples": 200, "permutations": 99}
    )
    tables = simulate(Truth(llc=effect), POINTS, seed, TARGETS)
    rows = observations(tables.design, tables.points, tables.covariates, written.setting, written.families)
    population = Population(
        rows[rows["scheme"].isin(SCHEMES) & (rows["stage"] == "decayed")],
        predictors(tables.measures, tables.checkpoints, tables.covariates),
        errors_of(tables.llc),
        factor_levels(tables.design, tables.covariates),
    )
    statistics = Statistics(population, written, seed)
    names = ("associations", "factors", "predictions", "reliability")
    verdicts = pd.DataFrame(judge(written, {name: getattr(statistics, name)() for name in names}))
    partial_tau = verdicts[(verdicts["side"] == "confirmed") & (verdicts["statistic"] == "partial_tau")]
    return {
        "verdict": verdicts["verdict"].iloc[0],
        "partial_tau": float(partial_tau["value"].mean()),
        "interval": float((partial_tau["high"] - partial_tau["low"]).mean()),
    }


if __name__ == "__main__":
    main()
