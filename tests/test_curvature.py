"""Second derivatives: the Hessian's products, its spectrum and traces, the quadratic well's LLC, Fisher, sharpness."""

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from smdl.models.loading import BlockLoss
from smdl.rulers.second_order.fisher import fisher_trace
from smdl.rulers.second_order.spectrum import (
    critical_sharpness,
    gradient_of,
    hessian_of,
    lanczos,
    laplace_llc,
    spectrum,
    trace,
)

CPU = torch.device("cpu")


class Network:
    """Squared error of a network of 45 weights on 30 cases."""

    size = 30

    def __init__(self):
        random = torch.Generator().manual_seed(0)
        self.inputs, self.targets = (torch.randn(self.size, 5, generator=random) for _ in range(2))
        shapes = ((5, 4), (4, 5), (5,))
        self.parameters = [torch.randn(shape, generator=random).requires_grad_() for shape in shapes]

    def of(self, first: torch.Tensor, second: torch.Tensor, bias: torch.Tensor, cases: np.ndarray) -> torch.Tensor:
        return (torch.tanh(self.inputs[cases] @ first) @ second + bias - self.targets[cases]).square().mean(dim=1)

    def __call__(self, sequences: np.ndarray) -> torch.Tensor:
        return self.of(*self.parameters, sequences)

    def hessian(self) -> torch.Tensor:
        def mean(flat: torch.Tensor) -> torch.Tensor:
            parts = flat.split([20, 20, 5])
            return self.of(parts[0].view(5, 4), parts[1].view(4, 5), parts[2], np.arange(self.size)).mean()

        flat = torch.cat([parameter.detach().flatten() for parameter in self.parameters])
        return torch.autograd.functional.hessian(mean, flat)


def small_model(vocabulary: int = 11) -> GPTNeoXForCausalLM:
    torch.manual_seed(0)
    model = GPTNeoXForCausalLM(
        GPTNeoXConfig(
            vocab_size=vocabulary, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
            max_position_embeddings=16,
        )
    ).eval()  # fmt: skip
    model.set_attn_implementation("eager")
    return model


@pytest.mark.parametrize("batch_size", [7, 100])
def test_products_are_those_of_the_dense_hessian(batch_size):
    loss = Network()
    product, dense = hessian_of(loss, batch_size), loss.hessian()
    for vector in torch.randn(3, 45, generator=torch.Generator().manual_seed(1)):
        torch.testing.assert_close(product(vector), dense @ vector, rtol=1e-4, atol=1e-5)


def test_products_of_a_language_model_are_differences_of_its_gradients():
    model = small_model().double()
    loss = BlockLoss(model, np.random.default_rng(0).integers(0, 11, (6, 12)))
    loss.__class__ = type("Double", (BlockLoss,), {"__call__": _in_double})
    vector = torch.randn(sum(p.numel() for p in loss.parameters), generator=torch.Generator().manual_seed(0)).double()

    def gradient(step: float) -> torch.Tensor:
        parts = vector.split([p.numel() for p in loss.parameters])
        with torch.no_grad():
            for parameter, part in zip(loss.parameters, parts, strict=True):
                parameter.add_(step * part.view_as(parameter))
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss(np.arange(6)).mean(), loss.parameters)])

    product = hessian_of(loss, 4)(vector)
    # Attention's softmax is in float32 whatever the weights are: the step cannot be very small.
    ahead, behind = gradient(2e-4), gradient(-4e-4)
    assert (product - (ahead - behind) / 4e-4).norm() < 5e-3 * product.norm()


def _in_double(self, sequences: np.ndarray) -> torch.Tensor:
    tokens = torch.from_numpy(self.blocks[sequences])
    logits = self.model(input_ids=tokens).logits[:, :-1]
    return functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none").mean(dim=1)


def test_all_steps_of_lanczos_give_every_eigenvalue_and_a_start_among_few_ends_early():
    values = torch.tensor([-1.0, 0.5, 2.0, 7.0])
    nodes, weights = lanczos(lambda v: values * v, torch.ones(4), 4)
    assert nodes == pytest.approx(values.numpy(), abs=1e-5)
    assert weights == pytest.approx([0.25] * 4, abs=1e-5)
    nodes, weights = lanczos(lambda v: values * v, torch.tensor([0.0, 1.0, 0.0, 1.0]), 4)
    assert nodes == pytest.approx([0.5, 7.0], abs=1e-5)


def test_traces_are_those_of_the_dense_hessian_within_their_errors():
    loss = Network()
    eigenvalues = torch.linalg.eigvalsh(loss.hessian().double()).numpy()
    rows = spectrum(hessian_of(loss, 30), 45, probes=60, steps=12, seed=3, device=CPU)
    assert rows.groupby("probe")["weight"].sum().to_numpy() == pytest.approx(1, abs=1e-4)
    for function in (lambda h: h, lambda h: h**2, np.tanh):
        found, error = trace(rows, 45, function)
        assert abs(found - function(eigenvalues).sum()) < 4 * error
        assert error < 0.2 * abs(function(eigenvalues)).sum()
    assert rows["eigenvalue"].max() == pytest.approx(eigenvalues.max(), rel=1e-3)


@pytest.mark.parametrize(("n_beta", "gamma"), [(30, 300), (300, 10), (1000, 1)])
def test_the_llc_of_the_quadratic_well_is_the_dense_one_within_its_error(n_beta, gamma):
    loss = Network()
    h = np.maximum(torch.linalg.eigvalsh(loss.hessian().double()).numpy(), 0)
    rows = spectrum(hessian_of(loss, 30), 45, probes=40, steps=15, seed=3, device=CPU)
    found, error = laplace_llc(rows, 45, n_beta, gamma)
    truth = (n_beta * h / (n_beta * h + gamma)).sum() / 2
    assert abs(found - truth) < 4 * error + 0.01 * truth


def test_without_localisation_the_llc_of_a_well_is_half_its_dimension():
    values = torch.linspace(0.5, 3, 20)
    rows = spectrum(lambda v: values * v, 20, probes=2, steps=10, seed=0, device=CPU)
    assert laplace_llc(rows, 20, 100, 0)[0] == pytest.approx(10, rel=1e-4)
    below = spectrum(lambda v: -values * v, 20, probes=2, steps=10, seed=0, device=CPU)
    assert laplace_llc(below, 20, 100, 0)[0] == 0


def test_one_probe_has_no_error():
    rows = spectrum(lambda v: v, 5, probes=1, steps=3, seed=0, device=CPU)
    found, error = trace(rows, 5)
    assert found == pytest.approx(5)
    assert np.isnan(error)


def test_the_fisher_trace_is_the_sum_over_positions_and_labels():
    model, blocks = small_model(5), np.random.default_rng(0).integers(0, 5, (3, 6))
    parameters = list(model.parameters())
    exact = []
    for block in blocks:
        log_p = model(input_ids=torch.from_numpy(block)[None]).logits[0, :-1].log_softmax(dim=-1)
        total = 0.0
        for place in range(5):
            for label in range(5):
                score = torch.autograd.grad(log_p[place, label], parameters, retain_graph=True)
                total += log_p[place, label].exp().item() * sum(part.square().sum().item() for part in score)
        exact.append(total / 5)
    seen = np.stack([fisher_trace(model, blocks, seed) for seed in range(300)])
    assert (np.abs(seen.mean(axis=0) - exact) < 5 * seen.std(axis=0) / np.sqrt(300)).all()
    assert np.array_equal(seen[0], fisher_trace(model, blocks, 0))


def test_critical_sharpness_of_a_quadratic_is_the_curvature_along_the_gradient():
    values, start = torch.tensor([0.1, 1.0, 30.0]), torch.tensor([1.0, -2.0, 0.3])

    class Well:
        size = 4

        def __init__(self, at: torch.Tensor, sign: float = 1.0):
            self.parameters, self.sign = [at.clone().requires_grad_()], sign

        def __call__(self, sequences: np.ndarray) -> torch.Tensor:
            return (self.sign * 0.5 * values * self.parameters[0] ** 2).sum().expand(len(sequences))

    well = Well(start)
    gradient = gradient_of(well, 3)
    torch.testing.assert_close(gradient, values * start)
    along = float(gradient @ (values * gradient) / (gradient @ gradient))
    assert critical_sharpness(well, gradient, 3) == pytest.approx(along, rel=0.05)
    torch.testing.assert_close(well.parameters[0].detach(), start, rtol=0, atol=0)
    assert np.isnan(critical_sharpness(Well(torch.zeros(3)), torch.ones(3), 3)), "at a minimum no step lowers the loss"
    assert critical_sharpness(Well(start, sign=-1.0), gradient_of(Well(start, sign=-1.0), 3), 3) < 1e-9
