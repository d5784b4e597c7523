"""Bits back: the description length of noisy weights, KL(Q || P) for a Gaussian Q and a mixture-of-Gaussians P.

Source: Hinton and van Camp, Keeping neural networks simple by minimizing the description length of the weights, COLT
1993; equation numbers are theirs. All lengths here are in nats.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class MixturePrior:
    """A mixture of ``m`` Gaussians over one weight: logits of the proportions, means and log standard deviations (m,).

    The proportions are the softmax of the logits (eq. 26), so that all three are free to be optimised.
    """

    logits: Tensor
    means: Tensor
    log_stds: Tensor

    @classmethod
    def evenly_spaced(cls, low: float, high: float, components: int, dtype: torch.dtype = torch.float64):
        """Equal proportions, means even from ``low`` to ``high``, neighbours two standard deviations apart (sec. 9)."""
        means = torch.linspace(low, high, components, dtype=dtype)
        std = (high - low) / (components - 1) / 2
        return cls(torch.zeros(components, dtype=dtype), means, torch.full((components,), std, dtype=dtype).log())

    def log_density(self, values: Tensor) -> Tensor:
        """log P(w) of every value, in nats; same shape as ``values``."""
        normal = torch.distributions.Normal(self.means, self.log_stds.exp())
        return torch.logsumexp(self.logits.log_softmax(0) + normal.log_prob(values[..., None]), -1)


def gaussian_divergence(mean: Tensor, log_std: Tensor, prior_mean: Tensor, prior_log_std: Tensor) -> Tensor:
    """KL(N(mean, std^2) || N(prior_mean, prior_std^2)) in nats (eq. 9); arguments broadcast."""
    excess = (2 * log_std).exp() + (prior_mean - mean).square()
    return prior_log_std - log_std + 0.5 * (excess * (-2 * prior_log_std).exp() - 1)


def mixture_bound(mean: Tensor, log_std: Tensor, prior: MixturePrior) -> Tensor:
    """Upper bound of KL(Q || P) for each weight, -log sum_i pi_i exp(-G_i) (eq. 17), in nats; shape of ``mean``.

    It is tight where one component takes the whole of Q, and exact for a mixture of one.
    """
    each = gaussian_divergence(mean[..., None], log_std[..., None], prior.means, prior.log_stds)
    return -torch.logsumexp(prior.logits.log_softmax(0) - each, -1)
