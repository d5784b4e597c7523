"""The runs behind the tables: from settings and a seed to rows."""

from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from smdl.experiments.theory.codes import CODE_MODELS, Codebook, redundancies
from smdl.experiments.theory.fit import LARGEST_CODE_SHIFT, Fit, fit_exponent
from smdl.experiments.theory.settings import Bits, Clouds, Networks, Redundancy, Scales, Volumes
from smdl.llc.settings import Sampler

# A cell of the code holds at least about this many points at the largest n, so that its volume is known to 20 %.
POINTS_PER_CELL = 32


def volumes(name: str, settings: Volumes, seed: int) -> pd.DataFrame:
    """Rows of the table ``volumes`` of one model."""
    from smdl.experiments.theory.models import MODELS
    from smdl.experiments.theory.splitting import log_volumes

    model = MODELS[name]
    frames = []
    if model.volume is not None:
        scales = scales_of(settings.exact)
        exact = np.log([model.volume(eps) for eps in scales])
        frames.append(pd.DataFrame({"method": "volume_exact", "replicate": 0, "eps": scales, "log_volume": exact}))
    own = settings.splitting
    scales = scales_of(own)
    for replicate in tqdm(range(own.replicates), desc=name, unit="run"):
        rng = np.random.default_rng([seed, replicate])
        values = log_volumes(model, scales, own.particles, own.sweeps, rng)
        frames.append(
            pd.DataFrame({"method": "volume_splitting", "replicate": replicate, "eps": scales, "log_volume": values})
        )
    return pd.concat(frames, ignore_index=True).assign(model=name)


def scales_of(settings: Scales) -> np.ndarray:
    """The tolerances eps of a run (nats), falling."""
    return np.geomspace(settings.largest_eps, settings.smallest_eps, settings.points)


def redundancy(name: str, settings: Redundancy, seed: int) -> list[dict[str, Any]]:
    """Rows of the table ``redundancy`` of one model; up to ``coded_n`` observations the data are really coded."""
    model = CODE_MODELS[name]
    points = 2**settings.log2_points
    largest = min(settings.largest_n, (points / POINTS_PER_CELL) ** (1 / model.learning_coefficient))
    sizes = np.unique(np.geomspace(settings.smallest_n, largest, settings.sizes).astype(int))
    rows = []
    for replicate in tqdm(range(settings.replicates), desc=name, unit="codebook"):
        book = Codebook(
            model, settings.log2_points, int(np.random.SeedSequence([seed, replicate]).generate_state(1)[0])
        )
        rng = np.random.default_rng([seed, replicate, 1])
        for n in sizes.tolist():
            code = book.code(n)
            counts = rng.multinomial(n, model.truth, settings.draws)
            coded, decoded = _really_coded(code, rng, settings) if n <= settings.coded_n else (np.nan, 0)
            for kind, values in zip(("redundancy", "redundancy_grid"), redundancies(code, counts), strict=True):
                volume = kind == "redundancy"
                rows.append(
                    {
                        "model": name,
                        "code": kind,
                        "replicate": replicate,
                        "n": n,
                        "draws": len(values),
                        "redundancy": values.mean(),
                        "redundancy_se": values.std(ddof=1) / np.sqrt(len(values)),
                        "coded_bits": coded if volume else np.nan,
                        "decoded": decoded if volume else 0,
                    }
                )
    return rows


def _really_coded(code: Any, rng: np.random.Generator, settings: Redundancy) -> tuple[float, int]:
    """Mean bits beyond the truth's ideal, and how many of the coded data sets came back whole."""
    truth = code.book.model.truth
    excess, whole = [], 0
    for _ in range(settings.coded_draws):
        data = rng.choice(len(truth), code.n, p=truth)
        bits = code.encode(data)
        whole += int((code.decode(bits) == data).all())
        excess.append(len(bits) + np.log2(truth)[data].sum())
    return float(np.mean(excess)), whole


def clouds(name: str, settings: Clouds, seed: int) -> pd.DataFrame:
    """Rows of the table ``clouds`` of one model on the plane."""
    from smdl.experiments.theory.clouds import sample
    from smdl.experiments.theory.models import MODELS

    model = MODELS[name]
    draws = sample(model.excess, model.centre, settings.sampler, settings.walkers, seed)
    return draws.assign(model=name)


def bits_of_model(name: str, settings: Bits, seed: int, measured: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of the table ``bits`` of a model: its boxes, its cubes, and its volumes out of the table ``volumes``."""
    from smdl.experiments.theory.cells import bits, corners, largest_boxes, largest_cubes
    from smdl.experiments.theory.models import MODELS

    model = MODELS[name]
    scales, signs, bound = scales_of(settings), corners(model.dimension, seed), model.high - model.centre
    common = {
        "model": name,
        "dimension": model.dimension,
        "lambda_true": model.learning_coefficient,
        "lambda_sampler": np.nan,
    }
    cells = {
        "box": bits(largest_boxes(model.excess, model.centre, bound, scales, signs), bound),
        "cube": bits(largest_cubes(model.excess, model.centre, bound, scales, signs), bound),
    }
    rows = [
        {**common, "cell": cell, "eps": eps, "bits": value}
        for cell, values in cells.items()
        for eps, value in zip(scales, values, strict=True)
    ]
    own = measured[measured["method"] == measured["method"].min()].groupby("eps", as_index=False)["log_volume"].mean()
    own = own[own["eps"] >= scales.min()]
    volume = -own["log_volume"] / np.log(2) / model.dimension
    rows += [
        {**common, "cell": "volume", "eps": eps, "bits": value} for eps, value in zip(own["eps"], volume, strict=True)
    ]
    return rows


def bits_of_network(
    teacher_units: int, own: Networks, tolerances: Bits, confidence: float, seed: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of the table ``bits`` of a trained network, and its row of the table ``theory``."""
    from smdl.experiments.theory.cells import bits, corners, critical_bits, largest_boxes, largest_cubes
    from smdl.experiments.theory.clouds import estimate, sample
    from smdl.experiments.theory.networks import train

    network = train(own.hidden, teacher_units, own.inputs, own.tolerance, seed + teacher_units)
    draws = sample(network.excess, network.centre, own.sampler, own.walkers, seed)
    llc, low, high = estimate(draws, own.sampler.n_beta, confidence)
    scales, dimension = scales_of(tolerances), len(network.centre)
    bound, signs = np.full(dimension, np.abs(network.centre).max()), corners(dimension, seed)
    cells = {
        "box": bits(largest_boxes(network.excess, network.centre, bound, scales, signs), bound),
        "cube": bits(largest_cubes(network.excess, network.centre, bound, scales, signs), bound),
        "quantizer": critical_bits(network.excess, network.centre, scales),
    }
    rows = [
        {
            "model": network.name,
            "cell": cell,
            "eps": eps,
            "dimension": dimension,
            "lambda_true": network.half_rank,
            "lambda_sampler": llc,
            "bits": value,
        }
        for cell, values in cells.items()
        for eps, value in zip(scales, values, strict=True)
    ]
    formula = f"tanh network of {own.hidden} units, teacher of {teacher_units}"
    return rows, _row(network.name, formula, "sampler", dimension, network.half_rank, None, (llc, low, high))


def theory(
    volumes: pd.DataFrame,
    redundancy: pd.DataFrame,
    clouds: pd.DataFrame,
    sampler: Sampler,
    largest_multiplicity: int,
    confidence: float,
) -> list[dict[str, Any]]:
    """Rows of the table ``theory`` of all models of known learning coefficient; ``clouds`` are draws of ``sampler``."""
    from smdl.experiments.theory.clouds import estimate, tempered
    from smdl.experiments.theory.models import MODELS

    rows = []
    for (name, method), own in volumes.groupby(["model", "method"], sort=False):
        model = MODELS[name]
        curves = -own.pivot_table(index="replicate", columns="eps", values="log_volume").to_numpy()[:, ::-1]
        scales = np.sort(own["eps"].unique())[::-1]
        most = min(largest_multiplicity, model.dimension)
        fit = fit_exponent(-np.log(scales), curves, most, method == "volume_splitting", confidence)
        rows.append(
            _row(name, model.formula, method, model.dimension, model.learning_coefficient, model.multiplicity, fit)
        )
    for (name, code), own in redundancy.groupby(["model", "code"], sort=False):
        coded = CODE_MODELS[name]
        curves = own.pivot_table(index="replicate", columns="n", values="redundancy")
        regular = code == "redundancy_grid"
        fit = fit_exponent(
            np.log(curves.columns.to_numpy(float)),
            curves.to_numpy(),
            1 if regular else min(largest_multiplicity, coded.dimension),
            False,
            confidence,
            LARGEST_CODE_SHIFT,
        )
        true = (coded.dimension / 2, 1) if regular else (coded.learning_coefficient, coded.multiplicity)
        rows.append(_row(name, coded.formula, code, coded.dimension, *true, fit))
    for name, own in clouds.groupby("model", sort=False):
        model = MODELS[name]
        found = estimate(own, sampler.n_beta, confidence)
        row = _row(
            name, model.formula, "sampler", model.dimension, model.learning_coefficient, model.multiplicity, found
        )
        rows.append({**row, "tempered": tempered(model.excess, sampler.n_beta, sampler.gamma)})
    return rows


def _row(
    name: str, formula: str, method: str, dimension: int, true: float, m_true: int | None, found: Fit | tuple
) -> dict[str, Any]:
    fitted = isinstance(found, Fit)
    value, low, high = (found.learning_coefficient, found.low, found.high) if fitted else found
    return {
        "model": name,
        "formula": formula,
        "method": method,
        "dimension": dimension,
        "lambda_true": true,
        "lambda_fit": value,
        "lambda_low": low,
        "lambda_high": high,
        "relative_error": value / true - 1 if true else np.nan,
        "m_true": m_true,
        "m_fit": found.multiplicity if fitted else None,
        "m_low": found.multiplicity_low if fitted else None,
        "m_high": found.multiplicity_high if fitted else None,
        "shift": found.shift if fitted else np.nan,
        "constant": found.constant if fitted else np.nan,
        "tempered": np.nan,
    }
