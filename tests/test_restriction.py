"""Restricted LLCs: what a restriction selects, that the rest stays, and coefficients that are known."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from small_models import kjv_blocks, llama, neox
from smdl.experiments.known_answers.models import Crossings, DeepLinear
from smdl.foundation.errors import StudyError
from smdl.llc.chains import sample
from smdl.llc.restriction import restrict, selection
from smdl.llc.sampler import Walker
from smdl.llc.settings import Llc, Sampler
from smdl.llc.state import StateStore
from smdl.models.loading import BlockLoss
from smdl.settings.config import settings
from smdl.tables import read_table
from smdl.tables.restricted import LLC_RESTRICTED
from workflow import jobs, small_config, snakemake

SETTINGS = Sampler(
    lr=1e-4, n_beta=30, gamma=300, alpha=0.99, eps_rms=0.1, batch_size=4, burn_in=2, draws=8, steps_between_draws=1
)
HEADS = "+".join(f"l1h{head}" for head in range(4))


def count(model, restriction: str) -> int:
    return sum(map(len, selection(model, restriction).values()))


@pytest.mark.parametrize("model", [neox(), llama(tied=False)], ids=["neox", "llama"])
def test_restrictions_select_the_parts_that_they_name(model):
    width, inner, vocabulary, layers = 16, model.config.intermediate_size, 256, 3
    whole = sum(parameter.numel() for parameter in model.parameters())
    assert count(model, "full") == whole
    assert count(model, "embed") == count(model, "unembed") == vocabulary * width
    assert count(model, "l0") == count(model, "l2") > count(model, "l0 attn+l0 mlp") > count(model, "l0 mlp")
    assert count(model, "l0+l0 attn+full") == whole, "a union counts a weight once"
    assert whole - count(model, "embed+unembed+l0+l1+l2") < 3 * width, "the norm at the end"
    attention = selection(model, "l1 attn")
    heads = selection(model, HEADS)
    assert {name for name, places in heads.items() if name.endswith("weight")} == {
        name for name in attention if name.endswith("weight")
    }
    for name, places in heads.items():
        assert len(places) == model.get_parameter(name).numel(), "the heads of a layer make its whole attention"
    mlp = 2 * width * inner if model.config.model_type == "gpt_neox" else 3 * width * inner
    assert sum(len(places) for name, places in selection(model, "l0 mlp").items() if name.endswith("weight")) == mlp
    assert layers == model.config.num_hidden_layers


def test_a_head_of_gpt_neox_is_where_the_model_computes_it():
    """Taking a head's output weights to zero changes the loss as taking its values to zero does."""
    blocks, losses = kjv_blocks()[:4], []
    for kind in ("query_key_value", "attention.dense.weight"):
        model = neox()
        (name,) = (name for name in selection(model, "l1h2") if kind in name and name.endswith("weight"))
        places = selection(model, "l1h2")[name]
        parameter = model.get_parameter(name)
        if kind == "query_key_value":
            # Of a head's rows query comes first, then key and value.
            places = places[-len(places) // 3 :]
            bias = model.get_parameter(name.replace("weight", "bias"))
            own = selection(model, "l1h2")[name.replace("weight", "bias")]
            bias.data[own[-len(own) // 3 :]] = 0
        parameter.data.view(-1)[places] = 0
        losses.append(BlockLoss(model, blocks)(np.arange(4)).detach())
    assert torch.allclose(*losses, atol=1e-6)
    assert not torch.allclose(losses[0], BlockLoss(neox(), blocks)(np.arange(4)), atol=1e-4)


def test_tied_embeddings_are_both():
    model = llama(tied=True)
    assert selection(model, "unembed").keys() == selection(model, "embed").keys()


@pytest.mark.parametrize(
    ("restriction", "said"),
    [
        ("l3", "'l3' selects nothing of .*: its layers are l0 to l2"),
        ("l0h4", "'l0h4' selects nothing"),
        ("embed+gpt_neox.wte.weight", "'gpt_neox.wte.weight' selects nothing of .*: it has no such tensor"),
    ],
)
def test_what_the_model_does_not_have_is_one_line(restriction, said):
    with pytest.raises(StudyError, match=said):
        selection(neox(), restriction)


@pytest.mark.parametrize("name", ["attn", "l0 attention", "l0h", "L0", "l0 + l1", "full,embed", ""])
def test_a_name_that_is_none_is_refused_by_the_config(name):
    with pytest.raises(StudyError, match="restrictions"):
        settings({"lr": 1e-4, "n_beta": 30, "gamma": 300, "batch_size": 8, "draws": 10, "restrictions": [name]}, Llc)


def loss_of(restriction: str | None) -> BlockLoss:
    loss = BlockLoss(neox(), kjv_blocks()[:16])
    if restriction:
        restrict(loss, restriction)
    return loss


def test_the_selected_weights_move_and_all_others_stay_bit_for_bit():
    before, loss = dict(neox().named_parameters()), loss_of("l1h2+l0 mlp+embed")
    assert torch.equal(loss(np.arange(4)), loss_of(None)(np.arange(4)))
    selected = selection(neox(), "l1h2+l0 mlp+embed")
    for _ in Walker(loss, SETTINGS, control=True).walk(seed=1, chain=0, n_beta=30):
        pass
    for name, old in before.items():
        owner, _, kind = name.rpartition(".")
        moved = (getattr(loss.model.get_submodule(owner), kind) != old).flatten().nonzero()[:, 0]
        assert torch.equal(moved, selected.get(name, moved[:0])), name


class Cut:
    """A loss whose process is interrupted at one of its calls."""

    def __init__(self, loss: BlockLoss, at: int):
        self.loss, self.calls, self.parameters, self.size = loss, at, loss.parameters, loss.size

    def __call__(self, sequences: np.ndarray) -> torch.Tensor:
        self.calls -= 1
        if self.calls < 0:
            raise KeyboardInterrupt
        return self.loss(sequences)


@pytest.mark.parametrize("at", [3, 21, 40])
def test_chains_of_a_part_that_were_cut_go_on_bit_for_bit(tmp_path, at):
    baseline = loss_of(None)(np.arange(16)).detach().double().numpy()

    def draws(folder: str, cut: int = 10**9) -> pd.DataFrame:
        store = StateStore(tmp_path / folder, "", interval=0)
        return sample(Cut(loss_of("l1h2+embed"), cut), baseline, SETTINGS, range(2), 1, store)

    with pytest.raises(KeyboardInterrupt):
        draws("cut", at)
    pd.testing.assert_frame_equal(draws("cut"), draws("whole"), check_exact=True)


def test_the_gradient_is_that_of_the_whole_model_where_it_is_selected():
    loss, whole = loss_of(HEADS + "+l0h1"), loss_of(None)
    for each in (loss, whole):
        each(np.arange(8)).mean().backward()
    wanted = dict(whole.model.named_parameters())
    for name, parameter in loss.model.named_parameters():
        if parameter.requires_grad and "parametrizations" in name:
            owner = name.replace("parametrizations.", "").replace(".original", "")
            places = selection(neox(), "l0h1")[owner]
            assert torch.allclose(parameter.grad, wanted[owner].grad.flatten()[places], atol=1e-7)
        elif parameter.requires_grad:
            assert torch.allclose(parameter.grad, wanted[name].grad, atol=1e-7)
        else:
            assert parameter.grad is None, "no gradient for what is frozen"


def test_full_gives_the_draws_of_the_whole_model(tmp_path):
    def draws(restriction: str | None):
        loss = loss_of(restriction)
        baseline = loss(np.arange(16)).detach().double().numpy()
        return sample(loss, baseline, SETTINGS, [0, 1], 3, StateStore(tmp_path / f"{restriction}", "", 1e9))

    assert draws("full").equals(draws(None))
    assert not draws("l0").equals(draws(None))


class Part:
    """A loss of which some parameters move."""

    def __init__(self, loss, parameters):
        self.loss, self.parameters, self.size = loss, parameters, loss.size
        for parameter in loss.parameters:
            parameter.requires_grad_(any(parameter is one for one in parameters))

    def __call__(self, sequences: np.ndarray) -> torch.Tensor:
        return self.loss(sequences)


class Sum:
    """The sum of losses of weights of their own."""

    size = 1

    def __init__(self, *losses):
        self.losses = losses
        self.parameters = [parameter for loss in losses for parameter in loss.parameters]

    def __call__(self, sequences: np.ndarray) -> torch.Tensor:
        return sum(loss(sequences) for loss in self.losses)


def coefficient(loss, its: Sampler, chains: int) -> float:
    """n_beta times the mean excess loss of a stack of chains at a point of loss zero."""
    steps = Walker(loss, its, chains).walk_stack(0, range(chains), its.n_beta)
    return its.n_beta * float(np.mean([seen.losses.mean().item() for seen in steps if seen.step >= its.burn_in]))


def test_the_coefficients_of_independent_losses_add_up():
    """Squares, and the crossing w1^2 w2^4 of a smaller coefficient."""
    its = Sampler(
        lr=0.01, n_beta=30, gamma=4, alpha=0.99, eps_rms=1, batch_size=1, burn_in=300, draws=600, steps_between_draws=1
    )

    def made() -> Sum:
        return Sum(Crossings([[2]] * 400, [1.0] * 400, 2), Crossings([[2, 4]] * 400, [1.0] * 400, 2))

    both = made()
    full = coefficient(both, its, 2)
    squares, crossings = (
        coefficient(Part(loss, [loss.parameters[place]]), its, 2) for place in range(2) for loss in [made()]
    )
    assert squares > 1.5 * crossings > 50
    assert squares + crossings == pytest.approx(full, rel=0.02)


@pytest.mark.parametrize("free", [0, 1])
def test_a_deep_linear_network_of_which_a_layer_moves(free):
    """Quadratic in that layer: 1/2 sum n_beta h / (n_beta h + gamma), h the eigenvalues of its Hessian."""
    its = Sampler(
        lr=4e-5,
        n_beta=1000,
        gamma=1,
        alpha=0.99,
        eps_rms=1,
        batch_size=64,
        burn_in=400,
        draws=300,
        steps_between_draws=3,
    )
    model = DeepLinear((8, 6, 10), 3, 64, 4, np.random.default_rng(0))
    first, second = (weight[0].detach() * scale for weight, scale in zip(model.parameters, model.scales, strict=True))
    moment = model.inputs.mT @ model.inputs / model.size
    outside, inside = (second.mT @ second, moment) if free == 0 else (torch.eye(10), first @ moment @ first.mT)
    curvatures = torch.kron(outside, inside) * model.scales[free] ** 2
    eigenvalues = torch.linalg.eigvalsh(curvatures.double())
    wanted = float((1000 * eigenvalues / (1000 * eigenvalues + 1)).sum() / 2)
    found = coefficient(Part(model, [model.parameters[free]]), its, 4)
    assert found == pytest.approx(wanted, rel=0.08)
    assert wanted == pytest.approx({0: 3 * 8 / 2, 1: 10 * 3 / 2}[free], rel=0.05), "rank by width, over two"


def test_a_study_with_restrictions_adds_their_jobs_and_no_others(small_study, tmp_path):
    folder = shutil.copytree(small_study, tmp_path / "study")
    config = small_config()
    config["llc"]["restrictions"] = ["full", "l0 attn", "l0h0+embed"]
    done = snakemake(folder, config, warm=True)
    assert done.returncode == 0, done.stderr
    ran = jobs(done.stderr)
    assert (ran["restricted_chains"], ran["llc_restricted"]) == (9, 1)
    assert "llc_chains" not in ran and "llc" not in ran
    tables = folder / "results/small/tables"
    rows = read_table(tables / "llc_restricted.parquet")
    LLC_RESTRICTED.conform(rows)
    assert rows.groupby("restriction")["weights"].unique().str[0].to_dict() == {
        "full": 2 * 256 * 16 + 12 * 16**2 + 13 * 16 + 2 * 16,
        "l0 attn": 4 * 16**2 + 4 * 16,
        "l0h0+embed": 256 * 16 + (4 * 16**2 + 3 * 16) // 2,
    }
    whole = read_table(tables / "llc.parquet").set_index("step")
    full = rows[rows["restriction"] == "full"].set_index("step")
    assert (full["llc"] == whole["llc"]).all() and (full["control"] == whole["control"]).all()
    assert (folder / "results/small/figures/restricted.svg").stat().st_size > 5000
    assert (folder / "results/small/report/llc_restricted.html").exists()
    assert "Nothing to be done" in snakemake(folder, config).stderr
