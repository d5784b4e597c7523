"""Measures of the algorithmic complexity of matrices, the null models, and how well schemes compress both."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from torch import nn

from smdl.compression import registry
from smdl.compression.scheme import Scheme
from smdl.compression.weights import Parameters, Weights, touched
from smdl.foundation.lazy import torch
from smdl.models.views import iterate
from smdl.rulers.bdm import block_decompositions
from smdl.rulers.codes.entropy import entropy_bits
from smdl.rulers.codes.quantized import quantize
from smdl.rulers.proxies import COMPRESSORS, byte_views

Matrices = Mapping[str, np.ndarray]
OWN = "own"
# The measures that the source of the claim takes (arXiv:2602.14896).
OF_THE_SOURCE = (
    *(f"{name}_{view}" for view in ("float32", "signs") for name in ("gzip", "bz2", "lzma")),
    "bdm_signs_strings",
)
# The matrices inside the layers; and these with the embeddings, where the rows of tokens that never occur move alike.
LAYERS, ALL = "layers", "all"
PARAMETERS: dict[str, Parameters] = {LAYERS: "linear", ALL: "matrices"}
# Schemes that can use how weights are arranged; a grid and pruning by magnitude cannot.
SCHEMES: dict[str, tuple[str, dict[str, object], float]] = {
    "k-means motifs of 4, capacity 0.03": ("motifs", {"block": 4, "choice": "kmeans"}, 0.03),
    "k-means motifs of 16, capacity 0.03": ("motifs", {"block": 16, "choice": "kmeans"}, 0.03),
    "half of the singular values": ("factorize", {"skip_ends": 0, "stride": 1}, 0.5),
}


def matrices(model: nn.Module, part: str = ALL) -> dict[str, np.ndarray]:
    """The matrices of a part of a model by name, float32.

    Biases and norms are left out: they start as constants, and any training makes them less simple.
    """
    return {view.name: view.current().float().cpu().numpy() for view in touched(iterate(model), PARAMETERS[part])}


def measures(weights: Matrices, levels: int) -> dict[str, float]:
    """Every measure by name; less is simpler.

    ``compressor_view`` are compressed bits per weight, ``entropy`` the bits per weight of codes of ``levels`` values,
    tensor by tensor, ``bdm_view_form`` the block decomposition over that of random bits.
    """
    count = sum(tensor.size for tensor in weights.values())
    compressed = {
        f"{name}_{view}": 8 * len(compress(data)) / count
        for view, data in byte_views(dict(weights), levels)
        for name, compress in COMPRESSORS.items()
    }
    entropy = sum(entropy_bits(quantize(tensor, levels).counts) for tensor in weights.values()) / count
    bdm = {
        f"bdm_{row['view']}_{row['form']}": row["normalised"] for row in block_decompositions(weights, levels, "ignore")
    }
    return {**compressed, "entropy": entropy, **bdm}


def null_models(weights: Matrices, seed: int) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """The weights themselves, and what is left of them without their arrangement, by name.

    ``permuted`` within each tensor keeps its distribution; ``permuted in rows`` that of every row too; ``redrawn`` are
    new draws from the tensor's distribution, between whose values it is taken to be even.
    """
    yield OWN, dict(weights)
    random = np.random.default_rng(seed)
    nulls: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "permuted": lambda tensor: random.permutation(tensor.ravel()).reshape(tensor.shape),
        "permuted in rows": lambda tensor: random.permuted(tensor, axis=1),
        "redrawn": lambda tensor: np.quantile(tensor, random.random(tensor.shape)).astype(tensor.dtype),
    }
    for name, null in nulls.items():
        yield name, {key: null(tensor) for key, tensor in weights.items()}


def errors(model: nn.Module, part: str, weights: Matrices, seed: int) -> dict[str, float]:
    """Squared error over squared norm of every one of ``SCHEMES`` on the ``weights`` of a part of ``model``.

    They are put into the model meanwhile. Factorization looks at layers alone, whatever the part.
    """
    views = {view.name: view for view in iterate(model)}
    own = {name: views[name].current() for name in weights}
    try:
        for name, tensor in weights.items():
            views[name].put(torch.from_numpy(tensor))
        return {
            name: _error(Weights(model), _built(scheme, variant, part), level, seed)
            for name, (scheme, variant, level) in SCHEMES.items()
        }
    finally:
        for name, tensor in own.items():
            views[name].put(tensor)


def _built(scheme: str, variant: dict[str, object], part: str) -> Scheme:
    own = {"parameters": PARAMETERS[part]} if "parameters" in registry.SCHEMES[scheme].model_fields else {}
    return registry.build(scheme, {**variant, **own})


def _error(weights: Weights, scheme: Scheme, level: float, seed: int) -> float:
    away = total = 0.0
    for item in scheme.compress(weights, level, seed, None):
        original = weights[item.view].double()
        away += float((item.tensor.double() - original).square().sum())
        total += float(original.square().sum())
    return away / total
