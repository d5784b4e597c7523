"""A population whose truth is planted: the tables that a study of it would have, without a model being trained.

For the power of the verdicts, and for tests that a planted truth is found. Base points differ in all factors,
neighbours in one; every run is measured at several strata of matched loss, before the decay and after.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

FACTORS = ("lr", "batch_size", "weight_decay", "hidden", "label_noise")
LEVELS = 4
TARGETS = (2.2, 2.0, 1.8)
EPSILON = 0.125
SCHEMES = {"quantize": 1, "round": 1, "gptq": 1, "prune": -1, "factorize": -1, "motifs": 1, "noise": -1}
SETTINGS = ("fair", "fair-again", "published")


@dataclass(frozen=True)
class Truth:
    """What causes the outcome.

    ``llc`` is the partial correlation of LLC and outcome in each scheme with all else held fixed; ``flatness`` the
    slope on what control and Fisher trace measure, in deviations; ``loss`` the share of the loss in outcomes and
    predictors. ``noise`` is the deviation of the sampler's error over that of the LLC's own part.
    """

    llc: float = 0.0
    flatness: float = 0.5
    loss: float = 0.5
    noise: float = 0.2


@dataclass(frozen=True)
class Simulated:
    """The tables of a population study that the statistics read."""

    design: pd.DataFrame
    covariates: pd.DataFrame
    points: pd.DataFrame
    measures: pd.DataFrame
    checkpoints: pd.DataFrame
    llc: pd.DataFrame


def simulate(truth: Truth, points: int, seed: int, targets: tuple[float, ...] = TARGETS) -> Simulated:
    """The tables of ``points`` base points with a neighbour in every factor, 6 runs each, a stratum per target."""
    rng = np.random.default_rng(seed)
    runs, factors = _runs(points, rng)
    models = _models(runs, targets)
    latent = _latent(models, factors, truth, rng)
    checkpoints = models[["model", "step"]].assign(
        parameters=np.exp(11 + 0.3 * factors["hidden"].loc[models["run"]].to_numpy()).astype(int), loss=latent["loss"]
    )
    llc, measures = _measured(models, latent, truth, rng)
    return Simulated(
        design=models[["model", "run", "point", "kind", "factor", "stage", "target"]].drop_duplicates("model"),
        covariates=_covariates(models, factors),
        points=_points(models, latent, truth, rng),
        measures=measures,
        checkpoints=checkpoints,
        llc=llc,
    )


def _runs(points: int, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The runs, and the level of each in every factor (index run)."""
    rows, levels = [], {}
    for point in range(points):
        base = dict(zip(FACTORS, rng.integers(LEVELS, size=len(FACTORS)), strict=True))
        for factor in ("", *FACTORS):
            run = f"p{point}" + (f"-{factor}" if factor else "")
            kind = "neighbour" if factor else "base"
            rows.append({"run": run, "point": f"p{point}", "kind": kind, "factor": factor})
            levels[run] = base | ({factor: (base[factor] + rng.integers(1, LEVELS)) % LEVELS} if factor else {})
    return pd.DataFrame(rows), pd.DataFrame.from_dict(levels, orient="index")[list(FACTORS)]


def _models(runs: pd.DataFrame, targets: tuple[float, ...]) -> pd.DataFrame:
    """A row per checkpoint: the stable run at each target, and a branch that decays from there."""
    rows = []
    for run in runs.to_dict("records"):
        for place, target in enumerate(targets):
            at = {**run, "place": place}
            rows.append({**at, "model": run["run"], "step": 100 * (place + 1), "stage": "stable", "target": np.nan})
            branch = {"model": f"{run['run']}-{target:g}", "step": 100 * (place + 1) + 50}
            rows.append({**at, **branch, "stage": "decayed", "target": target})
    return pd.DataFrame(rows)


def _latent(models: pd.DataFrame, factors: pd.DataFrame, truth: Truth, rng: np.random.Generator) -> pd.DataFrame:
    """Per checkpoint the loss, flatness and the LLC's own part: of the factors, the run and the checkpoint."""
    levels = factors.loc[models["run"]].to_numpy(float)
    levels = (levels - levels.mean(axis=0)) / levels.std(axis=0)
    names, run = np.unique(models["run"], return_inverse=True)
    found = {}
    for name in ("flatness", "own"):
        by_factor = levels @ rng.normal(size=len(FACTORS)) / np.sqrt(len(FACTORS))
        found[name] = _unit(by_factor + rng.normal(size=len(names))[run] + 0.5 * rng.normal(size=len(models)))
    near = 0.05 * rng.normal(size=len(models))
    found["loss"] = 2.2 - 0.2 * models["place"].to_numpy() - 0.1 * (models["stage"] == "decayed").to_numpy() + near
    shared = truth.loss * _unit(found["loss"])
    return pd.DataFrame(found | {"flatness": found["flatness"] + shared, "shared": shared})


def _measured(
    models: pd.DataFrame, latent: pd.DataFrame, truth: Truth, rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables ``llc`` and ``measures``. At the published setting the LLC is its control."""
    parts, measures = [], []
    keys = models[["model", "step"]]
    control = 50 + 10 * latent["flatness"]
    for setting in SETTINGS:
        own = 0.0 if setting == "published" else 10.0
        seen = control + own * latent["own"] + 10 * truth.noise * rng.normal(size=len(keys))
        seen_control = control + rng.normal(size=len(keys))
        errors = {"llc_se": 10 * truth.noise, "control_se": 1.0, "llc_minus_control_se": 10 * truth.noise + 1}
        parts.append(keys.assign(setting=setting, llc=seen, control=seen_control, **errors))
        measures += [
            keys.assign(measure=f"llc ({setting})", value=seen),
            keys.assign(measure=f"llc control ({setting})", value=seen_control),
        ]
    fisher = np.exp(latent["flatness"] + 0.3 * rng.normal(size=len(keys)))
    norm = np.exp(0.3 * (latent["shared"] + rng.normal(size=len(keys))))
    named = {"loss": latent["loss"], "fisher trace": fisher, "norm": norm}
    measures += [keys.assign(measure=name, value=value) for name, value in named.items()]
    return pd.concat(parts, ignore_index=True), pd.concat(measures, ignore_index=True).assign(made_with="")


def _points(models: pd.DataFrame, latent: pd.DataFrame, truth: Truth, rng: np.random.Generator) -> pd.DataFrame:
    parts = []
    unit = truth.llc / np.sqrt(1 - truth.llc**2)
    _, run = np.unique(models["run"], return_inverse=True)
    # What the schemes have in common beside the causes, of the run and of the checkpoint.
    common = _unit(rng.normal(size=run.max() + 1)[run] + rng.normal(size=len(run)))
    for scheme, direction in SCHEMES.items():
        cause = unit * latent["own"] if scheme != "noise" else 0.0
        flat = (2.0 if scheme == "noise" else truth.flatness) * latent["flatness"]
        rest = np.sqrt(0.5) * (common + rng.normal(size=len(run)))
        level = direction * (5 + cause + flat + latent["shared"] + rest)
        parts += [
            models[["model", "step"]].assign(
                setting=setting, scheme=scheme, variant="v", epsilon=EPSILON, coordinate=level, coordinate_se=0.05
            )
            for setting in SETTINGS
        ]
    return pd.concat(parts, ignore_index=True).assign(admitted=True)


def _covariates(models: pd.DataFrame, factors: pd.DataFrame) -> pd.DataFrame:
    wide = factors.loc[models["run"]].reset_index(drop=True).astype(float)
    long = pd.concat([models[["model", "step"]], wide], axis=1)
    return long.melt(["model", "step"], var_name="covariate", value_name="value").assign(text="")


def _unit(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, float)
    return (values - values.mean()) / values.std()
