"""The spectrum of a Hessian as stochastic Lanczos quadrature sees it, and functions of it.

From a random vector v of the weights' length, k steps of Lanczos make a small tridiagonal matrix whose eigenvalues are
nodes, and the squares of its eigenvectors' first components weights, with

    v' f(H) v / v'v ~ sum of weight f(node),        E[v' f(H) v / v'v] = tr f(H) / d,

for vectors of independent signs: Hutchinson's estimate where f is linear (Ubaru, Chen, Saad 2017, SIAM J. Matrix Anal.
Appl. 38). Its error is that of the mean over vectors.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from smdl.llc.sampler import Loss

Product = Callable[[Tensor], Tensor]
# Where a step adds so little to the last, the vectors so far span all that the start can reach.
ENDED = 1e-6


def hessian_of(loss: Loss, batch_size: int) -> Product:
    """The product of the Hessian of the mean loss over all sequences with a flat vector, in batches."""

    def product(vector: Tensor) -> Tensor:
        parts = list(vector.split([parameter.numel() for parameter in loss.parameters]))
        parts = [part.view_as(parameter) for part, parameter in zip(parts, loss.parameters, strict=True)]
        total = torch.zeros_like(vector)
        for start in range(0, loss.size, batch_size):
            value = loss(np.arange(start, min(start + batch_size, loss.size))).sum() / loss.size
            gradients = torch.autograd.grad(value, loss.parameters, create_graph=True)
            along = sum((gradient * part).sum() for gradient, part in zip(gradients, parts, strict=True))
            second = torch.autograd.grad(along, loss.parameters, materialize_grads=True)
            for chunk, part in zip(total.split([part.numel() for part in second]), second, strict=True):
                chunk += part.flatten()
        return total

    return product


def gradient_of(loss: Loss, batch_size: int) -> Tensor:
    """The gradient of the mean loss over all sequences, flat."""
    total = torch.zeros(sum(parameter.numel() for parameter in loss.parameters), device=loss.parameters[0].device)
    for start in range(0, loss.size, batch_size):
        value = loss(np.arange(start, min(start + batch_size, loss.size))).sum() / loss.size
        total += torch.cat([part.flatten() for part in torch.autograd.grad(value, loss.parameters)])
    return total


def signs(length: int, seed: Sequence[int], device: torch.device) -> Tensor:
    """A vector of independent signs, in float32."""
    drawn = np.random.default_rng(list(seed)).integers(0, 2, length, dtype=np.int8)
    return torch.from_numpy(drawn).to(device).float().mul_(2).sub_(1)


def lanczos(product: Product, start: Tensor, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of ``product`` seen from ``start``, at most ``steps`` of each; the weights add up to 1.

    Three vectors are held and none made orthogonal again: an eigenvalue that has converged may come back as another
    node, between which its weight is shared.
    """
    diagonal: list[float] = []
    beside: list[float] = []
    vector, before = start / torch.linalg.vector_norm(start), torch.zeros_like(start)
    for _ in range(steps):
        image = product(vector)
        if beside:
            image -= beside[-1] * before
        diagonal.append(float(torch.dot(image, vector)))
        image -= diagonal[-1] * vector
        length = float(torch.linalg.vector_norm(image))
        if length <= ENDED * max(map(abs, diagonal)):
            break
        beside.append(length)
        vector, before = image / length, vector
    off = np.array(beside[: len(diagonal) - 1])
    nodes, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(off, 1) + np.diag(off, -1))
    return nodes, vectors[0] ** 2


def spectrum(product: Product, length: int, probes: int, steps: int, seed: int, device: torch.device) -> pd.DataFrame:
    """Nodes and weights from ``probes`` random vectors: columns probe, node, eigenvalue, weight."""
    found = [lanczos(product, signs(length, (seed, probe), device), steps) for probe in range(probes)]
    parts = [
        pd.DataFrame({"probe": probe, "node": np.arange(len(nodes)), "eigenvalue": nodes, "weight": weights})
        for probe, (nodes, weights) in enumerate(found)
    ]
    return pd.concat(parts, ignore_index=True)


def largest_eigenvalue(loss: Loss, batch_size: int, steps: int, seed: int) -> float:
    """The largest eigenvalue of the Hessian of the mean loss, by Lanczos."""
    length = sum(parameter.numel() for parameter in loss.parameters)
    start = signs(length, (seed, 0), loss.parameters[0].device)
    return float(lanczos(hessian_of(loss, batch_size), start, steps)[0].max())


def trace(
    rows: pd.DataFrame, length: int, function: Callable[[np.ndarray], np.ndarray] = lambda h: h
) -> tuple[float, float]:
    """tr f(H) and its standard error over the probes, from the rows of ``spectrum``; the error of one probe is NaN."""
    seen = rows.assign(value=rows["weight"] * function(rows["eigenvalue"].to_numpy()))
    of_probes = length * seen.groupby("probe")["value"].sum().to_numpy()
    error = of_probes.std(ddof=1) / np.sqrt(len(of_probes)) if len(of_probes) > 1 else np.nan
    return float(of_probes.mean()), float(error)


def laplace_llc(rows: pd.DataFrame, length: int, n_beta: float, gamma: float) -> tuple[float, float]:
    """The LLC of the localised quadratic well, 1/2 tr n_beta H / (n_beta H + gamma), and its standard error.

    Negative curvatures count as none: along them the loss is no well.
    """

    def share(h: np.ndarray) -> np.ndarray:
        above = n_beta * np.maximum(h, 0)
        return np.divide(above, above + gamma, out=np.zeros_like(above), where=above > 0) / 2

    return trace(rows, length, share)


@torch.no_grad()
def critical_sharpness(loss: Loss, gradient: Tensor, batch_size: int) -> float:
    """2 / eta, with eta the largest step against ``gradient`` that does not raise the mean loss, to a few per cent.

    For a quadratic loss it is g'Hg / g'g, the curvature along the gradient (Kalra et al., arXiv:2601.16979, where it
    stands for the largest eigenvalue). NaN where no step of any size lowers the loss. The parameters are as before
    afterwards.
    """
    own = [parameter.detach().clone() for parameter in loss.parameters]
    parts = [
        part.view_as(parameter) for part, parameter in zip(gradient.split([p.numel() for p in own]), own, strict=True)
    ]

    def rise(step: float) -> float:
        for parameter, at, part in zip(loss.parameters, own, parts, strict=True):
            parameter.copy_(at - step * part)
        batches = (np.arange(s, min(s + batch_size, loss.size)) for s in range(0, loss.size, batch_size))
        return sum(float(loss(batch).double().sum()) for batch in batches) / loss.size

    try:
        at_rest, step = rise(0.0), 1.0
        if rise(step) <= at_rest:
            while rise(2 * step) <= at_rest and step < LARGEST_STEP:
                step *= 2
        else:
            while rise(step) > at_rest:
                step /= 2
                if step < SMALLEST_STEP:
                    return float("nan")
        low, high = step, 2 * step
        for _ in range(HALVINGS):
            middle = (low * high) ** 0.5
            low, high = (middle, high) if rise(middle) <= at_rest else (low, middle)
        return 2 / (low * high) ** 0.5
    finally:
        for parameter, at in zip(loss.parameters, own, strict=True):
            parameter.copy_(at)


SMALLEST_STEP, LARGEST_STEP, HALVINGS = 2.0**-40, 2.0**40, 4
