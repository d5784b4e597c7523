"""Section 9 of Hinton and van Camp (1993): every method on one data set, and the summary over several."""

from collections.abc import Callable, Sequence
from math import log

import numpy as np
import pandas as pd
import torch

from smdl.experiments.hinton.data import Cases, make
from smdl.experiments.hinton.network import Shape, output
from smdl.experiments.hinton.settings import Hinton
from smdl.experiments.hinton.training import NoisyNetwork, relative_error, ridge, train_exact, train_noisy
from smdl.foundation.interval import half_width
from smdl.rulers.codes.noisy import MixturePrior

# Relative errors printed in section 9 of the paper, on its own data; for orientation only.
PUBLISHED = {
    "description_length": 0.286,
    "no_regularisation": 0.967,
    "weight_decay": 0.317,
    "weight_decay_best_on_test": 0.291,
    "linear_regression": 35.6,
    "ridge_best_on_test": 0.291,
}


def shape_of(settings: Hinton) -> Shape:
    """The network's shape."""
    return Shape(settings.positions * settings.descriptors, settings.hidden)


def cases_of(settings: Hinton, dataset: int) -> tuple[Cases, Cases]:
    """Training and test cases of data set ``dataset``."""
    sizes = (settings.positions, settings.descriptors, settings.training, settings.test)
    training, test, _ = make(settings.rule, *sizes, settings.seed + dataset)
    return training, test


def run(settings: Hinton, dataset: int) -> tuple[list[dict], list[dict], list[dict]]:
    """Rows of the runs, and of the weights and the prior of the noisy network with the least description length."""
    training, test = cases_of(settings, dataset)
    noisy = [_noisy(settings, training, settings.coefficients, restart) for restart in range(settings.restarts)]
    direct = [_noisy(settings, training, settings.coefficients[-1:], 0)]
    rows = [
        *_noisy_rows("description_length", noisy, settings, training, test),
        *_noisy_rows("full_cost_from_start", direct, settings, training, test),
        *_exact_rows(settings, training, test),
        *_linear_rows(settings, training, test),
    ]
    best = min(noisy, key=_total_nats)
    return (
        [{"dataset": dataset, **row} for row in rows],
        [{"dataset": dataset, **row} for row in _weight_rows(best, shape_of(settings))],
        [{"dataset": dataset, **row} for row in _prior_rows(best.prior)],
    )


def summarise(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean test error of each method's chosen runs over the data sets, its 95 % t interval, and the published one."""
    chosen = runs[runs["chosen"]]
    rows = []
    for method, group in chosen.groupby("method", sort=False):
        errors = group["test_relative_error"].to_numpy()
        # a single data set has no spread: its interval is not a number
        half = half_width(errors)
        rows.append(
            {
                "method": method,
                "datasets": len(errors),
                "test_relative_error": errors.mean(),
                "test_relative_error_low": errors.mean() - half,
                "test_relative_error_high": errors.mean() + half,
                "median": np.median(errors),
                "weight_bits": group["weight_bits"].mean(),
                "total_bits": group["total_bits"].mean(),
                "published": PUBLISHED.get(method, np.nan),
            }
        )
    return pd.DataFrame(rows)


def _noisy(settings: Hinton, training: Cases, coefficients: Sequence[float], restart: int) -> NoisyNetwork:
    prior = MixturePrior.evenly_spaced(-settings.prior_range, settings.prior_range, settings.components)
    return train_noisy(
        training,
        shape_of(settings),
        prior,
        coefficients,
        settings.steps,
        settings.tolerance,
        settings.mean_std,
        settings.noise_std,
        settings.seed + restart,
    )


def _total_nats(network: NoisyNetwork) -> float:
    return network.weight_nats + network.misfit_nats


def _noisy_rows(method: str, networks: list[NoisyNetwork], settings: Hinton, training: Cases, test: Cases):
    best = min(networks, key=_total_nats)
    for restart, network in enumerate(networks):
        yield {
            **_row(method, restart, lambda x, n=network: n.predict(x, shape_of(settings)), training, test),
            "chosen": network is best,
            "weight_bits": network.weight_nats / log(2),
            "misfit_bits": network.misfit_nats / log(2),
            "total_bits": _total_nats(network) / log(2),
        }


def _exact_rows(settings: Hinton, training: Cases, test: Cases):
    """No regularisation, and weight decay, its coefficient from a validation part or (cheating) the test cases."""

    def fit(cases: Cases, decay: float, restart: int = 0) -> Callable[[np.ndarray], np.ndarray]:
        seed = settings.seed + restart
        weights = train_exact(cases, shape_of(settings), decay, settings.mean_std, settings.exact_steps, seed)
        return lambda x: output(weights, torch.as_tensor(x), shape_of(settings)).numpy()

    validated = _best_on_validation(settings, training, settings.weight_decays, fit)
    cheated = min(settings.weight_decays, key=lambda decay: relative_error(test.y, fit(training, decay)(test.x)))
    for method, decay in (
        ("no_regularisation", 0.0),
        ("weight_decay", validated),
        ("weight_decay_best_on_test", cheated),
    ):
        rows = [
            _row(method, restart, fit(training, decay, restart), training, test, decay)
            for restart in range(settings.restarts)
        ]
        least = min(row["training_relative_error"] for row in rows)
        yield from ({**row, "chosen": row["training_relative_error"] == least} for row in rows)


def _linear_rows(settings: Hinton, training: Cases, test: Cases):
    """Linear regression without a penalty (least norm), and ridge with one from validation or from the test cases."""

    def fit(cases: Cases, penalty: float) -> Callable[[np.ndarray], np.ndarray]:
        coefficients = ridge(cases, penalty)
        return lambda x: x @ coefficients[:-1] + coefficients[-1]

    validated = _best_on_validation(settings, training, settings.ridge_penalties, fit)
    cheated = min(settings.ridge_penalties, key=lambda penalty: relative_error(test.y, fit(training, penalty)(test.x)))
    for method, penalty in (("linear_regression", 0.0), ("ridge", validated), ("ridge_best_on_test", cheated)):
        yield _row(method, 0, fit(training, penalty), training, test, penalty)


def _best_on_validation(settings: Hinton, training: Cases, candidates: Sequence[float], fit: Callable) -> float:
    """The candidate whose fit on the rest of the training cases does best on their last part."""
    cut = round(len(training.y) * (1 - settings.validation))
    fitted, held_out = Cases(training.x[:cut], training.y[:cut]), Cases(training.x[cut:], training.y[cut:])
    return min(candidates, key=lambda value: relative_error(held_out.y, fit(fitted, value)(held_out.x)))


def _row(
    method: str,
    restart: int,
    predict: Callable[[np.ndarray], np.ndarray],
    training: Cases,
    test: Cases,
    penalty: float = np.nan,
) -> dict:
    return {
        "method": method,
        "restart": restart,
        "chosen": True,
        "penalty": penalty,
        "weight_bits": np.nan,
        "misfit_bits": np.nan,
        "total_bits": np.nan,
        "training_relative_error": relative_error(training.y, predict(training.x)),
        "test_relative_error": relative_error(test.y, predict(test.x)),
    }


def _weight_rows(network: NoisyNetwork, shape: Shape):
    means, stds = shape.split(network.mean), shape.split(network.std)
    for unit in range(shape.hidden):
        for i in range(shape.inputs):
            yield _weight("incoming", unit, i, means[0][unit, i], stds[0][unit, i])
        yield _weight("hidden_bias", unit, 0, means[1][unit], stds[1][unit])
        yield _weight("outgoing", unit, 0, means[2][unit], stds[2][unit])
    yield _weight("output_bias", 0, 0, means[3], stds[3])


def _weight(kind: str, unit: int, i: int, mean: torch.Tensor, std: torch.Tensor) -> dict:
    return {"kind": kind, "unit": unit, "input": i, "mean": float(mean), "std": float(std)}


def _prior_rows(prior: MixturePrior):
    parts = zip(prior.logits.softmax(0), prior.means, prior.log_stds.exp(), strict=True)
    for component, (proportion, mean, std) in enumerate(parts):
        yield {"component": component, "proportion": float(proportion), "mean": float(mean), "std": float(std)}
