"""Bits back: the description length of noisy weights, KL(Q || P) for a Gaussian Q and a mixture-of-Gaussians P.

Source: Hinton and van Camp, Keeping neural networks simple by minimizing the description length of the weights, COLT
1993; equation numbers are theirs. All lengths here are in nats.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from smdl.llc.sampler import Loss
from smdl.llc.update import update_for
from smdl.models.backward import backward, place_of
from smdl.rulers.codes.priors import PARAMETER_BITS, fit_mixture

# On a CPU a chunk fits the second-level cache; a GPU takes longer to be told of one than to work through it.
CHUNK = {"cpu": 1 << 16, "cuda": 1 << 22}
# Vectors of a fit beside the model: log deviations and Adam's two moments of them, and the anchors; of means that move,
# all that again.
VECTORS, MORE = 4, 4


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
    by_mean, by_log_std = torch.empty_like(mean), torch.empty_like(log_std)
    total = torch.zeros((), dtype=torch.float64, device=mean.device)
    shift, precision = prior.means, (-2 * prior.log_stds).exp()
    constant = prior.logits.log_softmax(0) - prior.log_stds + 0.5
    chunks = (t.view(-1).split(CHUNK[mean.device.type]) for t in (mean, log_std, by_mean, by_log_std))
    for own_mean, own_log_std, out_mean, out_log_std in zip(*chunks, strict=True):
        away, variance = own_mean[:, None] - shift, (2 * own_log_std).exp()
        each = torch.addcmul(constant, away.square().add_(variance[:, None]), precision, value=-0.5)
        inside = torch.logsumexp(each, 1, keepdim=True)
        weighted = each.sub_(inside).exp_().mul_(precision)
        torch.sum(weighted * away, 1, out=out_mean)
        torch.sum(weighted, 1, out=out_log_std).mul_(variance).sub_(1)
        total -= (inside[:, 0] + own_log_std).sum(dtype=torch.float64)
    return total.item(), by_mean, by_log_std


@dataclass(frozen=True)
class NoisySettings:
    """How noisy weights are fitted: ``tokens`` is n, the data that the total pays for; ``lr`` is Adam's, cosine to 0.

    ``initial_std`` is relative to the deviation of all weights; start small, for deviations rise faster than they fall
    (the gradient of a deviation that is too large dwarfs all later ones in Adam's memory). ``samples`` weight vectors
    give the expected loss. ``sequences_at_once`` are passed together, None: the whole minibatch.
    """

    tokens: float
    steps: int
    lr: float
    batch_size: int
    initial_std: float
    train_means: bool
    samples: int
    sequences_at_once: int | None = None


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


class Noisy:
    """Noisy weights of a loss: a mean and a log standard deviation for each, tensor by tensor.

    They lie beside the loss's parameters or, where they are many, in main memory, and meet the parameters a tensor at a
    time. Log deviations, and means that move, are float32 at least. Noise is not kept: it is a function of seed, tensor
    and draw, and the same on every device.
    """

    def __init__(self, loss: Loss, settings: NoisySettings, seed: int):
        self.loss = loss
        self.device = loss.parameters[0].device
        elements = sum(parameter.numel() for parameter in loss.parameters)
        place = place_of(elements, VECTORS + MORE * settings.train_means, self.device)
        self.anchors = [parameter.detach().to(place, copy=True) for parameter in loss.parameters]
        fine = torch.promote_types(self.anchors[0].dtype, torch.float32)
        # Means that stay are the anchors themselves.
        self.means = [a.to(fine, copy=True) for a in self.anchors] if settings.train_means else self.anchors
        start = math.log(settings.initial_std * _deviation(self.anchors))
        self.log_stds = [torch.full_like(anchor, start, dtype=fine) for anchor in self.anchors]
        self.seed = seed
        self._draws = 0
        self._normals = update_for(self.device).normals

    def at(self, number: int) -> tuple[Tensor, Tensor]:
        """Means and log deviations of one tensor, where the parameters lie, in the precision of the second."""
        log_std = self.log_stds[number].to(self.device)
        return self.means[number].to(self.device, log_std.dtype), log_std

    @torch.no_grad()
    def draw(self) -> None:
        """Set the loss's parameters to the next draw of the noisy weights."""
        self._draws += 1
        for number, parameter in enumerate(self.loss.parameters):
            mean, log_std = self.at(number)
            parameter.copy_(mean + log_std.exp() * self.noise(number))

    def noise(self, number: int) -> Tensor:
        """The standard normal noise of a tensor in the last draw, once more."""
        like = self.log_stds[number]
        return self._normals(self.seed, number, self._draws, 0, like.numel()).view(like.shape).to(like.dtype)

    @torch.no_grad()
    def restore(self) -> None:
        """The loss's parameters as they came."""
        for parameter, anchor in zip(self.loss.parameters, self.anchors, strict=True):
            parameter.copy_(anchor)


def describe(loss: Loss, prior: MixturePrior, settings: NoisySettings, seed: int) -> Description:
    """Fit independent Gaussian noise to a trained model: minimise n E_Q[L] + KL(Q || P) over Q at a fixed prior P.

    The log standard deviations (and the means, if ``train_means``) follow reparameterised gradients, w = mean + std *
    noise: with g the gradient of L at w, d/d mean = g and d/d log std = g * std * noise, to which the mixture bound's
    own gradients over n are added. The loss's parameters are given back as they came. Losses are taken on all its
    sequences in the end. Equal seeds share minibatches and noise, so that checkpoints can be compared.
    """
    noisy = Noisy(loss, settings, seed)
    prior = MixturePrior(*(part.to(noisy.at(0)[1]) for part in (prior.logits, prior.means, prior.log_stds)))
    try:
        _fit_noise(noisy, prior, settings, seed)
        sampled = _sampled_losses(noisy, settings, seed)
        noisy.restore()
        plain = _mean_loss(loss, settings)
    finally:
        noisy.restore()
    nats = sum(bound_gradients(*noisy.at(number), prior)[0] for number in range(len(noisy.means)))
    expected = float(sampled.mean())
    return Description(
        weight_bits=nats / math.log(2),
        data_bits=settings.tokens * expected / math.log(2),
        loss=plain,
        expected_loss=expected,
        expected_loss_se=float(sampled.std(ddof=1)) / math.sqrt(len(sampled)),
        means=noisy.means,
        log_stds=noisy.log_stds,
    )


def _fit_noise(noisy: Noisy, prior: MixturePrior, settings: NoisySettings, seed: int) -> None:
    """Adam on the log standard deviations, and on the means where they are to move; changes them in place."""
    learnt = [*noisy.log_stds, *(noisy.means if settings.train_means else [])]
    # A step is taken tensor by tensor: those without a gradient stay.
    optimizer = torch.optim.Adam(learnt, settings.lr, betas=(0.9, 0.99), foreach=False)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)

    def move(number: int, gradient: Tensor) -> None:
        mean, log_std = noisy.at(number)
        _, by_mean, by_log_std = bound_gradients(mean, log_std, prior)
        by_log_std.div_(settings.tokens).add_(noisy.noise(number).mul_(log_std.exp()).mul_(gradient))
        noisy.log_stds[number].grad = by_log_std.to(noisy.log_stds[number].device)
        if settings.train_means:
            by_mean.div_(settings.tokens).add_(gradient)
            noisy.means[number].grad = by_mean.to(noisy.means[number].device)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    batches, loss = np.random.default_rng(seed), noisy.loss
    with backward(loss, loss.parameters, move, settings.sequences_at_once) as run:
        for _ in range(settings.steps):
            noisy.draw()
            run(batches.choice(loss.size, min(settings.batch_size, loss.size), replace=False))
            schedule.step()


def _sampled_losses(noisy: Noisy, settings: NoisySettings, seed: int) -> np.ndarray:
    """Mean loss over all sequences at each of ``samples`` weight vectors, (samples,)."""
    losses = []
    for _ in range(settings.samples):
        noisy.draw()
        losses.append(_mean_loss(noisy.loss, settings))
    return np.array(losses)


@torch.no_grad()
def _mean_loss(loss: Loss, settings: NoisySettings) -> float:
    size = min(settings.batch_size, settings.sequences_at_once or settings.batch_size)
    batches = np.array_split(np.arange(loss.size), -(-loss.size // size))
    return float(torch.cat([loss(batch) for batch in batches]).double().mean())


def _deviation(tensors: list[Tensor]) -> float:
    """The standard deviation of all elements together; in double precision, a tensor at a time."""
    count = sum(tensor.numel() for tensor in tensors)
    mean = sum(float(tensor.sum(dtype=torch.float64)) for tensor in tensors) / count
    return math.sqrt(sum(float((tensor.double() - mean).square_().sum()) for tensor in tensors) / (count - 1))


def describe_checkpoint(loss: Loss, components: int, noise: NoisySettings, seed: int) -> dict[str, float]:
    """The row of a checkpoint, in bits; the prior is a mixture fitted to all its weights, 32 bits per parameter."""
    weights = _flat(loss.parameters)
    # In place: the prior needs them in order, and there is no room for another copy.
    weights.sort()
    count, prior = len(weights), mixture_prior(weights, components)
    del weights
    found = describe(loss, prior, noise, seed)
    prior_bits = float(PARAMETER_BITS * (3 * components - 1))
    return {
        "weight_bits": found.weight_bits,
        "bits_per_parameter": found.weight_bits / count,
        "prior_bits": prior_bits,
        "loss": found.loss,
        "expected_loss": found.expected_loss,
        "expected_loss_se": found.expected_loss_se,
        "data_bits": found.data_bits,
        "total_bits": found.total_bits + prior_bits,
    }


def _flat(parameters: Sequence[Tensor]) -> np.ndarray:
    """All weights, float32, in main memory."""
    flat = np.empty(sum(parameter.numel() for parameter in parameters), dtype=np.float32)
    start = 0
    for parameter in parameters:
        stop = start + parameter.numel()
        flat[start:stop] = parameter.detach().flatten().float().cpu().numpy()
        start = stop
    return flat
