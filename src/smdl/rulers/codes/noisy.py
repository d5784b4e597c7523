"""Bits back: the description length of noisy weights, KL(Q || P) for a Gaussian Q and a mixture-of-Gaussians P.

Source: Hinton and van Camp, Keeping neural networks simple by minimizing the description length of the weights, COLT
1993; equation numbers are theirs. All lengths here are in nats.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from smdl.llc.sampler import Loss
from smdl.rulers.codes.priors import PARAMETER_BITS, fit_mixture

CHUNK = 1 << 16


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


def mixture_prior(weights: np.ndarray, components: int) -> MixturePrior:
    """The mixture that EM fits to ``weights`` (N,); no Gaussian narrower than a thousandth of their deviation."""
    fitted, _ = fit_mixture(weights, components, floor=1e-3 * float(weights.std()))
    parts = np.log(np.maximum(fitted.proportions, 1e-12)), fitted.means, np.log(fitted.stds)
    return MixturePrior(*(torch.as_tensor(part) for part in parts))


@torch.no_grad()
def bound_gradients(mean: Tensor, log_std: Tensor, prior: MixturePrior) -> tuple[float, Tensor, Tensor]:
    """The mixture bound summed over all weights (nats), and its gradients; a chunk of weights at a time.

    With r_i the share of component i in exp(-bound), they are sum_i r_i (mean - mean_i) / std_i^2 for the mean and
    sum_i r_i std^2 / std_i^2 - 1 for the log standard deviation. Only a chunk is ever held once for every component.
    """
    by_mean, by_log_std, total = torch.empty_like(mean), torch.empty_like(log_std), 0.0
    shift, precision = prior.means, (-2 * prior.log_stds).exp()
    constant = prior.logits.log_softmax(0) - prior.log_stds + 0.5
    chunks = (t.view(-1).split(CHUNK) for t in (mean, log_std, by_mean, by_log_std))
    for own_mean, own_log_std, out_mean, out_log_std in zip(*chunks, strict=True):
        away, variance = own_mean[:, None] - shift, (2 * own_log_std).exp()
        each = torch.addcmul(constant, away.square().add_(variance[:, None]), precision, value=-0.5)
        inside = torch.logsumexp(each, 1, keepdim=True)
        weighted = each.sub_(inside).exp_().mul_(precision)
        torch.sum(weighted * away, 1, out=out_mean)
        torch.sum(weighted, 1, out=out_log_std).mul_(variance).sub_(1)
        total -= (inside[:, 0] + own_log_std).sum(dtype=torch.float64).item()
    return total, by_mean, by_log_std


@dataclass(frozen=True)
class NoisySettings:
    """How noisy weights are fitted: ``tokens`` is n, the data that the total pays for; ``lr`` is Adam's, cosine to 0.

    ``initial_std`` is relative to the deviation of all weights; start small, for deviations rise faster than they fall
    (the gradient of a deviation that is too large dwarfs all later ones in Adam's memory). ``samples`` weight vectors
    give the expected loss.
    """

    tokens: float
    steps: int
    lr: float
    batch_size: int
    initial_std: float
    train_means: bool
    samples: int


@dataclass(frozen=True)
class Description:
    """Description of a model by noisy weights: lengths in bits, losses in nats per token, and what was learnt.

    ``expected_loss_se`` is the standard error over the sampled weight vectors.
    """

    weight_bits: float
    data_bits: float
    loss: float
    expected_loss: float
    expected_loss_se: float
    means: list[Tensor]
    log_stds: list[Tensor]

    @property
    def total_bits(self) -> float:
        """Bits of weights and data."""
        return self.weight_bits + self.data_bits


def describe(loss: Loss, prior: MixturePrior, settings: NoisySettings, seed: int) -> Description:
    """Fit independent Gaussian noise to a trained model: minimise n E_Q[L] + KL(Q || P) over Q at a fixed prior P.

    The log standard deviations (and the means, if ``train_means``) follow reparameterised gradients, w = mean + std *
    noise: with g the gradient of L at w, d/d mean = g and d/d log std = g * std * noise, to which the mixture bound's
    own gradients over n are added. The loss's parameters are given back as they came. Losses are taken on all its
    sequences in the end. Equal seeds share minibatches and noise, so that checkpoints can be compared.
    """
    anchors = [parameter.detach().clone() for parameter in loss.parameters]
    prior = MixturePrior(*(part.to(anchors[0]) for part in (prior.logits, prior.means, prior.log_stds)))
    means = [anchor.clone() for anchor in anchors]
    start = math.log(settings.initial_std * float(torch.cat([a.view(-1) for a in anchors]).std()))
    log_stds = [torch.full_like(anchor, start) for anchor in anchors]
    try:
        _fit_noise(loss, prior, settings, seed, means, log_stds)
        sampled = _sampled_losses(loss, settings, seed, means, log_stds)
        _assign(loss, anchors)
        plain = _mean_loss(loss, settings.batch_size)
    finally:
        _assign(loss, anchors)
    nats = sum(bound_gradients(mean, log_std, prior)[0] for mean, log_std in zip(means, log_stds, strict=True))
    expected = float(sampled.mean())
    return Description(
        weight_bits=nats / math.log(2),
        data_bits=settings.tokens * expected / math.log(2),
        loss=plain,
        expected_loss=expected,
        expected_loss_se=float(sampled.std(ddof=1)) / math.sqrt(len(sampled)),
        means=means,
        log_stds=log_stds,
    )


def _fit_noise(
    loss: Loss, prior: MixturePrior, settings: NoisySettings, seed: int, means: list[Tensor], log_stds: list[Tensor]
) -> None:
    """Adam on the log standard deviations, and on the means where they are to move; changes them in place."""
    learnt = [*log_stds, *(means if settings.train_means else [])]
    optimizer = torch.optim.Adam(learnt, settings.lr, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    batches, generator = np.random.default_rng(seed), _generator(seed, means[0])
    for _ in range(settings.steps):
        noises = _perturb(loss, generator, means, log_stds)
        batch = batches.choice(loss.size, min(settings.batch_size, loss.size), replace=False)
        gradients = torch.autograd.grad(loss(batch).mean(), loss.parameters)
        for mean, log_std, noise, gradient in zip(means, log_stds, noises, gradients, strict=True):
            _, by_mean, by_log_std = bound_gradients(mean, log_std, prior)
            mean.grad = gradient + by_mean / settings.tokens
            log_std.grad = gradient * noise * log_std.exp() + by_log_std / settings.tokens
        optimizer.step()
        schedule.step()


def _sampled_losses(
    loss: Loss, settings: NoisySettings, seed: int, means: list[Tensor], log_stds: list[Tensor]
) -> np.ndarray:
    """Mean loss over all sequences at each of ``samples`` weight vectors, (samples,)."""
    generator = _generator(seed + 1, means[0])
    losses = []
    for _ in range(settings.samples):
        _perturb(loss, generator, means, log_stds)
        losses.append(_mean_loss(loss, settings.batch_size))
    return np.array(losses)


@torch.no_grad()
def _mean_loss(loss: Loss, batch_size: int) -> float:
    batches = np.array_split(np.arange(loss.size), -(-loss.size // batch_size))
    return float(torch.cat([loss(batch) for batch in batches]).double().mean())


@torch.no_grad()
def _perturb(loss: Loss, generator: torch.Generator, means: list[Tensor], log_stds: list[Tensor]) -> list[Tensor]:
    """Set the loss's parameters to a draw of the noisy weights; the standard normal noise that made it."""
    noises = [torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device) for mean in means]
    _assign(loss, [m + s.exp() * z for m, s, z in zip(means, log_stds, noises, strict=True)])
    return noises


@torch.no_grad()
def _assign(loss: Loss, tensors: list[Tensor]) -> None:
    for parameter, tensor in zip(loss.parameters, tensors, strict=True):
        parameter.copy_(tensor)


def _generator(seed: int, like: Tensor) -> torch.Generator:
    return torch.Generator(like.device).manual_seed(seed)


def describe_checkpoint(loss: Loss, components: int, noise: NoisySettings, seed: int) -> dict[str, float]:
    """The row of a checkpoint, in bits; the prior is a mixture fitted to all its weights, 32 bits per parameter."""
    weights = torch.cat([parameter.detach().view(-1) for parameter in loss.parameters]).double().cpu().numpy()
    found = describe(loss, mixture_prior(weights, components), noise, seed)
    prior_bits = float(PARAMETER_BITS * (3 * components - 1))
    return {
        "weight_bits": found.weight_bits,
        "bits_per_parameter": found.weight_bits / len(weights),
        "prior_bits": prior_bits,
        "loss": found.loss,
        "expected_loss": found.expected_loss,
        "expected_loss_se": found.expected_loss_se,
        "data_bits": found.data_bits,
        "total_bits": found.total_bits + prior_bits,
    }
