"""Bits where they matter: solver, ladders, what is kept, scores, searches, exports, and a model never seen before."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import gguf
import numpy as np
import pandas as pd
import pytest
import torch

from conftest import ROOT
from small_models import CONTEXT, blocks_of, llama, neox, trained
from smdl.allocation import divergence
from smdl.allocation.bench import Bench, feasible, whole
from smdl.allocation.claims import CLAIMS, judged_claims
from smdl.allocation.database import tensor_errors
from smdl.allocation.divergence import Reference
from smdl.allocation.export import GPTQMODEL, LLAMA_CPP, exported
from smdl.allocation.judge import EVOLUTIONARY, GREEDY, judge
from smdl.allocation.kept import Kept
from smdl.allocation.ladder import climb, code_length, ladders
from smdl.allocation.registry import SCORES
from smdl.allocation.regret import regrets
from smdl.allocation.score import Evidence
from smdl.allocation.search import Objective, evolve, greedy
from smdl.allocation.settings import Allocation, Ladder, Search
from smdl.allocation.solver import solve
from smdl.foundation.errors import StudyError
from smdl.llc.restriction import restricted_to
from smdl.models.loading import BlockLoss, block_losses
from smdl.models.views import QUERY, iterate, part_of
from smdl.settings.config import validated
from smdl.study.study import Study
from smdl.tables import read_table
from smdl.tables.allocation import ALL_BUDGETS, LADDER_KIND, PUBLISHED
from workflow import small_config, snakemake

RANDOM = np.random.default_rng(0)
SMALL = Allocation(
    bits=(2, 4, 8),
    budgets=(4, 6),
    probes=4,
    hessian_blocks=8,
    noise_draws=1,
    ladder={"n_beta": [10, 100], "burn_in": 2, "draws": 6, "batch_size": 8},
    search={"evaluations": 30, "blocks": 8},
)


@pytest.mark.parametrize("seed", range(20))
def test_the_solver_finds_what_trying_everything_finds(seed):
    random = np.random.default_rng(seed)
    matrices, options = random.integers(1, 6), random.integers(2, 5)
    damages = random.integers(-3, 9, (matrices, options)).astype(float)
    sizes = np.sort(random.integers(1, 12, (matrices, options)), axis=1)
    found = solve(damages, sizes)
    assert (np.diff(found.sizes) > 0).all() and (np.diff(found.damages) < 0).all()
    rows = range(matrices)
    every = [(sizes[rows, c].sum(), damages[rows, c].sum()) for c in product(range(options), repeat=matrices)]
    for budget in range(sizes[:, 0].sum() - 1, sizes[:, -1].sum() + 2):
        choice, possible = found.within(budget), [damage for size, damage in every if size <= budget]
        if not possible:
            assert choice is None
            continue
        assert sizes[range(matrices), choice].sum() <= budget
        assert damages[range(matrices), choice].sum() == min(possible)


class Wells:
    """A quadratic loss with known curvatures, the same for every sequence."""

    def __init__(self, curvatures: np.ndarray):
        self.curvatures = torch.from_numpy(curvatures.astype(np.float32))
        self.parameters = [torch.zeros(len(curvatures), requires_grad=True)]
        self.size = 4

    def __call__(self, sequences: np.ndarray) -> torch.Tensor:
        return (0.5 * (self.curvatures * self.parameters[0].square()).sum()).expand(len(sequences))


CURVATURES = np.geomspace(0.01, 30, 200)
GAMMA = 100.0


def of_wells(n_beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """LLC and code length (bits) of the wells in closed form."""
    over = np.multiply.outer(np.asarray(n_beta, dtype=float), CURVATURES) / GAMMA
    return 0.5 * (over / (1 + over)).sum(1), 0.5 * np.log2(1 + over).sum(1)


def test_the_integral_over_the_ladder_is_the_code_length_of_quadratic_wells():
    for per_decade, error, trapezoidal in ((2, 0.02, 0.07), (4, 0.015, 0.015)):
        n_beta = np.geomspace(0.1, 1e4, 1 + 5 * per_decade)
        llc, bits = of_wells(n_beta)
        found = code_length(n_beta, llc, np.zeros_like(llc)).bits
        assert np.allclose(found, bits, rtol=error)
        naive = bits[0] + np.append(0, np.cumsum(np.diff(np.log2(n_beta)) * (llc[1:] + llc[:-1]) / 2))
        assert np.abs(naive / bits - 1).max() > trapezoidal


def test_the_effective_curvature_is_that_of_equal_wells_and_the_trace_in_the_limit():
    n_beta = np.geomspace(0.01, 1e3, 21)
    for gamma in (1.0, 1e6):
        llc = 50 * (n_beta * 7 / gamma) / (1 + n_beta * 7 / gamma)
        length = code_length(n_beta, llc, np.zeros_like(llc))
        assert length.effective_curvature(100.0, gamma, 100) == pytest.approx(7, rel=0.05)
    over = np.multiply.outer(n_beta, CURVATURES) / 1e6
    length = code_length(n_beta, 0.5 * (over / (1 + over)).sum(1), np.zeros_like(n_beta))
    assert length.effective_curvature(100.0, 1e6, 200) == pytest.approx(CURVATURES.mean(), rel=0.01)
    over = np.multiply.outer(n_beta, CURVATURES) / 1.0
    length = code_length(n_beta, 0.5 * (over / (1 + over)).sum(1), np.zeros_like(n_beta))
    assert length.effective_curvature(1000.0, 1.0, 200) < 0.3 * CURVATURES.mean()


def test_the_error_of_the_code_length_is_that_of_its_rungs():
    n_beta, llc, se = np.array([1.0, np.e, np.e**3]), np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.2, 0.3])
    found = code_length(n_beta, llc, se)
    nats = np.cumsum([1, 1 / np.log(2), 2 * 1 / np.log(1.5)])
    assert np.allclose(found.bits * np.log(2), nats)
    shifted = [code_length(n_beta, llc + 1e-5 * np.eye(3)[place], se).bits[2] for place in range(3)]
    assert found.bits_se[2] == pytest.approx(np.linalg.norm((shifted - found.bits[2]) / 1e-5 * se), rel=1e-3)
    equal = code_length([1, 2, 4], [3, 3, 3], [1, 1, 1])
    assert np.allclose(equal.bits, [3 / np.log(2), 3 / np.log(2) + 3, 3 / np.log(2) + 6])


def test_climbing_gives_the_llc_of_quadratic_wells_rung_by_rung():
    rungs = (1, 10, 100)
    settings = Ladder(n_beta=rungs, chains=4, burn_in=200, draws=1000, batch_size=4)
    loss = Wells(CURVATURES)
    rows = climb(loss, np.zeros(4), rungs, GAMMA, CURVATURES.max(), settings, seed=0)
    exact, _ = of_wells(np.array(rungs))
    for row, llc in zip(rows, exact, strict=True):
        assert row["llc"] == pytest.approx(llc, rel=0.08, abs=4 * row["llc_se"])
    assert not loss.parameters[0].any(), "behind, the weights are at w*"


def test_one_matrix_moves_and_all_is_as_it_was_afterwards():
    model = neox()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    loss = BlockLoss(model, blocks_of("evaluation")[:8])
    (view,) = (view for view in iterate(model) if view.role == QUERY and view.layer == 1)
    baseline = block_losses(model, loss.blocks, 8)
    with restricted_to(loss, view):
        assert sum(parameter.numel() for parameter in loss.parameters) == view.elements
        climb(loss, baseline, [10.0], 300.0, 1.0, Ladder(n_beta=(10, 20), chains=2, burn_in=0, draws=4), seed=0)
    after = dict(model.named_parameters())
    assert list(after) == list(before)
    assert all(torch.equal(after[name], own) and after[name].requires_grad for name, own in before.items())
    assert len(loss.parameters) == len(before)
    assert np.array_equal(block_losses(model, loss.blocks, 8), baseline)


@pytest.mark.parametrize("model", [neox(), llama(tied=True)], ids=["neox", "llama"])
def test_a_view_shows_its_part_of_a_tensor_of_its_parameter(model):
    for view in iterate(model):
        parameter = model.get_parameter(view.parameter)
        assert torch.equal(part_of(model, view, parameter.detach().clone()), view.current())


def bench_of(model, settings: Allocation = SMALL, quantizer: str = "round") -> Bench:
    return Bench(model, settings, quantizer, blocks_of("calibration"), dense_bits=16)


def reference_of(model, split: str = "calibration", blocks: int = 16) -> Reference:
    return Reference(model, blocks_of(split)[:blocks], 8, lambda: model)


@pytest.fixture(scope="module")
def model():
    return trained(layers=1, steps=60)


@pytest.mark.parametrize("quantizer", ["round", "gptq"])
def test_a_bench_gives_matrices_bits_counts_them_and_takes_them_back(model, quantizer):
    bench = bench_of(model, quantizer=quantizer)
    before = [view.current() for view in bench.views]
    losses = []
    for option, bits in enumerate(bench.bits):
        with bench.holding(whole([option] * len(bench.views))):
            losses.append(block_losses(model, blocks_of("evaluation"), 32).mean())
            for view in bench.views:
                assert all(len(row.unique()) <= 2**bits for row in view.current())
        rows = np.array([view.shape[0] for view in bench.views])
        assert np.array_equal(bench.sizes[:, option], bits * bench.elements + 32 * rows)
    assert losses[0] > losses[1] > losses[2]
    assert all(torch.equal(view.current(), own) for view, own in zip(bench.views, before, strict=True))
    total = sum(parameter.numel() for parameter in model.parameters())
    dense = 16 * (total - bench.elements.sum())
    assert bench.effective([1] * len(bench.views)) == pytest.approx((dense + bench.sizes[:, 1].sum()) / total)
    assert bench.budget(bench.effective([1] * len(bench.views))) == pytest.approx(bench.sizes[:, 1].sum())


def test_budgets_below_the_least_allocation_are_left_out_or_told(model):
    bench = bench_of(model)
    least = bench.effective([0] * len(bench.views))
    assert feasible(bench, [least - 0.1, least + 0.1]) == [least + 0.1]
    with pytest.raises(StudyError, match=r"allocation.budgets: at 2 bits for every matrix the model has .* effective"):
        feasible(bench, [1.0])


def test_divergences_are_those_of_their_definition_kept_or_not(model, monkeypatch):
    kept = reference_of(model)
    assert np.abs(kept.compare(model).divergences).max() < 1e-6
    monkeypatch.setattr(divergence, "KEPT_BYTES", 0)
    loaded = Reference(model, kept.blocks, 8, lambda: trained(layers=1, steps=60))
    bench = bench_of(model)
    with bench.holding({3: 0}):
        first, second = kept.compare(model), loaded.compare(model)
        logits = model(input_ids=torch.from_numpy(kept.blocks.astype(np.int64))).logits[:, :-1].double()
    original = model(input_ids=torch.from_numpy(kept.blocks.astype(np.int64))).logits[:, :-1].double()
    p, q = (own.log_softmax(-1).detach() for own in (original, logits))
    assert np.allclose(first.divergences, (p.exp() * (p - q)).sum(-1).numpy(), atol=1e-5)
    assert np.allclose(first.divergences, second.divergences, atol=1e-5)
    assert np.allclose(first.losses, second.losses)
    assert first.kl.mean() > 1e-4


def evidence_of(model, quantizer: str, folder: Path) -> Evidence:
    bench, reference = bench_of(model, quantizer=quantizer), reference_of(model)
    loss = BlockLoss(model, blocks_of("training")[:32])
    baseline = block_losses(model, loss.blocks, 32)
    model.set_attn_implementation("eager")

    def smooth() -> BlockLoss:
        return BlockLoss(model, reference.blocks[: SMALL.hessian_blocks])

    errors = tensor_errors(bench, reference, Kept(folder, quantizer))
    rungs = ladders(loss, baseline, SMALL, 0, Kept(folder, "ladder"))
    return Evidence(bench, reference, errors, rungs, smooth, SMALL, seed=0)


@pytest.fixture(scope="module")
def evidence(model, tmp_path_factory) -> Evidence:
    return evidence_of(model, "round", tmp_path_factory.mktemp("kept"))


@pytest.mark.parametrize("name", SCORES)
def test_every_score_says_what_fewer_bits_cost_and_leaves_the_model_alone(name, evidence):
    before = [view.current() for view in evidence.bench.views]
    evidence.passes = 0
    damages = SCORES[name]().damages(evidence)
    assert damages.shape == evidence.bench.sizes.shape
    assert np.isfinite(damages).all()
    # What is measured is noisy at many bits: over all matrices the damage falls all the same.
    total = damages.sum(axis=0)
    assert total[0] > 2 * abs(total[1]) > 0
    assert total[1] > total[2] or name == "measured_loss"
    assert (evidence.passes > 0) == (name not in ("uniform", "parameter_count", "heavy_tails"))
    assert SCORES[name].source
    assert all(torch.equal(view.current(), own) for view, own in zip(evidence.bench.views, before, strict=True))
    assert all(parameter.grad is None for parameter in evidence.bench.model.parameters())


def test_the_trace_of_the_output_matrix_foretells_its_divergence(evidence):
    """There the Hessian is the Fisher information, and at 8 bits the divergence is quadratic in the change."""
    place = next(place for place, name in enumerate(evidence.bench.names) if name.startswith(("lm_head", "embed_out")))
    damages = SCORES["hessian_trace"]().damages(evidence)
    assert damages[place, -1] / 3 < evidence.measured("kl")[place, -1] < 3 * damages[place, -1]


def test_the_importance_matrix_is_the_change_of_outputs_where_inputs_are_uncorrelated(evidence):
    bench = evidence.bench
    place = next(place for place, view in enumerate(bench.views) if view.name.startswith("gpt_neox.embed_in"))
    damages = SCORES["importance_matrix"]().damages(evidence)
    tokens = torch.from_numpy(evidence.reference.blocks.astype(np.int64)).flatten()
    change = bench.change(place, 0)[tokens].square().sum(1).mean()
    assert damages[place, 0] == pytest.approx(float(change), rel=1e-4)


def test_both_uses_of_tied_embeddings_count():
    model = llama(tied=True).eval()
    bench, reference = bench_of(model), reference_of(model)
    place = bench.names.index("model.embed_tokens.weight")
    assert bench.uses(place) == ["model.embed_tokens", "lm_head"]
    assert all(len(bench.uses(other)) == 1 for other in range(len(bench.names)) if other != place)
    own = Evidence(bench, reference, pd.DataFrame(), pd.DataFrame(), lambda: None, SMALL, seed=0)
    tokens = torch.from_numpy(reference.blocks.astype(np.int64))
    with torch.no_grad():
        inputs = model.model(input_ids=tokens).last_hidden_state.double().square().mean((0, 1))
    change = bench.change(place, 0).double().square()
    expected = (change[tokens.flatten()].sum(1).mean() + (change * inputs).sum()).item()
    assert SCORES["importance_matrix"]().damages(own)[place, 0] == pytest.approx(expected, rel=1e-4)
    damages = SCORES["output_fisher"]().damages(own)
    assert damages[place, 0] > damages[place, 1] > damages[place, 2] > 0


def test_a_ladder_has_a_row_per_rung_and_the_published_setting(evidence):
    rows = evidence.ladder
    assert set(rows["kind"]) == {PUBLISHED, LADDER_KIND}
    assert rows.groupby("tensor").size().eq(1 + len(SMALL.ladder.n_beta)).all()
    assert rows[rows["kind"] == PUBLISHED]["gamma"].eq(300).all()
    bits = rows[rows["kind"] == LADDER_KIND].groupby("tensor")["bits"]
    assert all(own.is_monotonic_increasing for _, own in bits)


class Sum:
    """An objective without interactions: a bench of equal matrices, and damages that are added."""

    def __init__(self, damages: np.ndarray):
        self.damages = damages
        self.sizes = np.tile(np.arange(2, 2 + damages.shape[1]) * 10, (len(damages), 1))
        self.bits = tuple(range(2, 2 + damages.shape[1]))
        self.views = [None] * len(damages)
        self.bench, self.known, self.evaluations = self, lambda choice: False, 0

    def effective(self, choice) -> float:
        return self.sizes[np.arange(len(choice)), list(choice)].sum() / (10 * len(self.damages))

    def __call__(self, choice) -> float:
        return float(self.damages[np.arange(len(choice)), list(choice)].sum())


def test_without_interactions_searches_come_to_the_exact_solution():
    damages = RANDOM.uniform(1, 3, (6, 1)) * 4.0 ** -np.arange(4)
    toy = Sum(damages)
    exact = {budget: toy(solve(damages, toy.sizes).within(60 * budget)) for budget in (2.5, 3.0, 4.0)}
    down = greedy(toy, exact, damages, candidates=6)
    for budget, least in exact.items():
        assert toy.effective(down[budget]) <= budget
        assert toy(down[budget]) <= 1.3 * least
        settings = Search(evaluations=400, survivors=8)
        best = evolve(toy, budget, [down[budget]], settings, (0,))
        assert toy.effective(best) <= budget
        assert least <= toy(best) <= 1.02 * least


def test_all_are_judged_at_every_budget_and_no_search_is_worse_than_a_score_on_its_own_blocks(evidence):
    model, search = evidence.bench.model, reference_of(evidence.bench.model, blocks=SMALL.search.blocks)
    found = judge(evidence, reference_of(model, "evaluation", 32), search)
    frontier = pd.DataFrame(found.frontier)
    assert set(frontier["score"]) == {*SCORES, GREEDY, EVOLUTIONARY}
    assert frontier.groupby("score").size().eq(len(SMALL.budgets)).all()
    assert (frontier["effective_bits"] <= frontier["budget"]).all()
    allocations = pd.DataFrame(found.allocations)
    options = {bits: option for option, bits in enumerate(evidence.bench.bits)}
    objective = Objective(evidence.bench, search)
    for _, own in allocations.groupby("budget"):
        losses = {
            score: objective(tuple(rows.set_index("tensor")["bits"].map(options)[evidence.bench.names]))
            for score, rows in own.groupby("score")
        }
        assert min(losses, key=losses.get) == EVOLUTIONARY or losses[EVOLUTIONARY] == min(losses.values())
    assert {row["score"] for row in found.scores} == set(frontier["score"])
    best = frontier[frontier["regret"] == 0]
    assert set(best["budget"]) == set(SMALL.budgets)


def test_regret_is_the_mean_over_checkpoints_with_students_interval():
    common = {"model": "a", "quantizer": "round", "score": "x", "regret_se": 0.3}
    rows = [
        {**common, "step": step, "budget": budget, "regret": regret}
        for step, regret in ((1, 0.1), (2, 0.3), (3, 0.2))
        for budget in (3.0, 4.0)
    ]
    found = {row["budget"]: row for row in regrets(pd.DataFrame(rows))}
    assert found[ALL_BUDGETS]["regret"] == found["3"]["regret"] == pytest.approx(0.2)
    assert found["3"]["high"] - 0.2 == pytest.approx(4.303 * 0.1 / 3**0.5, rel=1e-3)
    assert found[ALL_BUDGETS]["blocks_se"] == pytest.approx(0.3 / 3**0.5)
    assert (found["4"]["worst"], found["4"]["checkpoints"]) == (0.3, 3)


@pytest.mark.parametrize(
    ("ours", "verdicts"),
    [
        ([0.010, 0.012, 0.011], {"below": "confirmed", "equal to": "refuted"}),
        ([0.05, 0.05, 0.05], {"below": "refuted", "equal to": "refuted"}),
        ([0.031, 0.030, 0.029], {"below": "undecided", "equal to": "confirmed"}),
        ([0.00, 0.06, 0.03], {"below": "undecided", "equal to": "undecided"}),
    ],
)
def test_claims_are_judged_by_the_interval_of_the_difference(ours, verdicts):
    names = {claim.score for claim in CLAIMS} | {claim.other for claim in CLAIMS}
    rows = [
        {"model": "a", "step": step, "quantizer": "round", "score": name, "budget": 3.0, "regret": regret}
        for step, own in enumerate(ours)
        for name, regret in {**dict.fromkeys(names, 0.03 + 1e-4 * step), "restricted_llc": own}.items()
    ]
    found = {row["claim"]: row["verdict"] for row in judged_claims(pd.DataFrame(rows))}
    assert found["regret of restricted_llc below that of uniform"] == verdicts["below"]
    assert found["regret of restricted_llc equal to that of hessian_trace"] == verdicts["equal to"]


KILLED = """
import sys, time
sys.path[:0] = [sys.argv[2]]
from pathlib import Path
import test_allocation as t
model = t.trained(layers=1, steps=60)
bench, reference = t.bench_of(model), t.reference_of(model)
whole = reference.compare
def slow(model):
    time.sleep(0.1)
    return whole(model)
reference.compare = slow
t.tensor_errors(bench, reference, t.Kept(sys.argv[1], "round"))
"""


def test_errors_that_were_measured_before_a_kill_are_not_measured_again(model, evidence, tmp_path):
    folder = tmp_path / "kept"
    command = [sys.executable, "-c", KILLED, str(folder), str(ROOT / "tests")]
    job = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    deadline = time.monotonic() + 300
    while len(list(folder.glob("[!.]*.parquet"))) < 2:
        assert job.poll() is None and time.monotonic() < deadline, job.communicate()[1].decode()
        time.sleep(0.05)
    os.killpg(job.pid, signal.SIGKILL)
    job.communicate()
    there = {path: path.stat().st_mtime_ns for path in folder.glob("[!.]*.parquet")}
    damaged = next(iter(there))
    damaged.write_bytes(damaged.read_bytes()[:50])
    bench, reference = bench_of(model), reference_of(model)
    evaluated, compare = [], reference.compare
    reference.compare = lambda model: evaluated.append(1) or compare(model)
    rows = tensor_errors(bench, reference, Kept(folder, "round"))
    left = len(bench.views) - len(there) + 1
    assert len(evaluated) == left * len(bench.bits)
    assert all(path.stat().st_mtime_ns == at for path, at in there.items() if path != damaged)
    own, whole = (table.drop(columns="seconds") for table in (rows, evidence.errors))
    pd.testing.assert_frame_equal(own, whole, rtol=1e-4, atol=1e-6)
    assert len(tensor_errors(bench, reference, Kept(folder, "other digest"))) == len(rows)
    assert len(evaluated) == (left + len(bench.views)) * len(bench.bits)


def allocation_of(model, bits: int = 3) -> pd.DataFrame:
    views = [view for view in iterate(model) if view.is_matrix]
    return pd.DataFrame({"tensor": [view.name for view in views], "bits": bits})


def test_gptqmodel_finds_the_bits_of_every_linear_map_of_a_layer():
    allocation = allocation_of(neox())
    allocation.loc[allocation["tensor"].str.contains("1.attention.query_key_value.weight.query"), "bits"] = 5
    dynamic = json.loads(exported(allocation, GPTQMODEL, group=128))

    def bits(module: str) -> int | None:
        # As GPTQModel and vLLM look a module up: patterns in order, without the sign before them.
        found = (own["bits"] for pattern, own in dynamic.items() if re.match(pattern.removeprefix("+:"), module))
        return next(found, None)

    assert bits("gpt_neox.layers.0.mlp.dense_h_to_4h") == 3
    assert bits("gpt_neox.layers.1.attention.query_key_value") == 8, "5 is not among 2, 3, 4, 8"
    assert bits("gpt_neox.layers.11.mlp.dense_h_to_4h") is None
    assert bits("embed_out") is None
    assert {own["group_size"] for own in dynamic.values()} == {128}


@pytest.mark.parametrize(("model", "arch"), [(neox(), "GPTNEOX"), (llama(tied=False), "LLAMA")], ids=["neox", "llama"])
def test_llama_cpp_knows_tensors_and_types(model, arch):
    lines = exported(allocation_of(model), LLAMA_CPP, group=0).splitlines()
    names = gguf.get_tensor_name_map(getattr(gguf.MODEL_ARCH, arch), 3)
    modules = {view.parameter.removesuffix(".weight") for view in iterate(model) if view.is_matrix}
    assert len(lines) == len(modules)
    for module in modules:
        own = [line for line in lines if re.search(line.partition("=")[0], f"{names.get_name(module)}.weight")]
        assert len(own) == 1
        assert own[0].partition("=")[2].upper() in gguf.GGMLQuantizationType.__members__


def test_a_tensor_without_a_name_there_is_told():
    with pytest.raises(StudyError, match=r"llama\.cpp's name of this tensor is not known here"):
        exported(pd.DataFrame({"tensor": ["model.layers.0.mlp.router.weight"], "bits": [4]}), LLAMA_CPP, 0)


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ({"bits": [4, 2]}, "allocation.bits: 4, 2 do not rise"),
        ({"ladder": {"n_beta": [10, 3]}}, "allocation.ladder.n_beta: 10, 3 do not rise"),
        ({"search": {"blocks": 17}}, "allocation.search.blocks: 17 blocks are more than corpus.blocks.calibration, 16"),
        ({}, "allocation.hessian_blocks: 32 blocks are more than corpus.blocks.calibration, 16"),
        ({"hessian_blocks": 8, "ladder": {"batch_size": 65}}, "allocation.ladder.batch_size: 65 blocks are more than"),
        ({"quantizers": ["awq"]}, "allocation.quantizers.0: 'awq' is not one of round, gptq"),
    ],
)
def test_a_mistake_is_one_clear_line(section, line):
    with pytest.raises(StudyError, match=re.escape(line)):
        validated({**small_config(), "allocation": section}, Study)


def test_a_llama_folder_goes_through_from_its_config_alone(tmp_path):
    llama(tied=True).save_pretrained(tmp_path / "model")
    config = small_config()
    config["corpus"]["context"] = CONTEXT // 2
    config["models"] = {"own": {"source": "local", "path": "model", "steps": [0]}}
    config["allocation"] = {
        "bits": [2, 8],
        "budgets": [9],
        "quantizers": ["gptq"],
        "probes": 1,
        "hessian_blocks": 4,
        "noise": [0.1],
        "noise_draws": 1,
        "ladder": {"n_beta": [10, 100], "burn_in": 0, "draws": 4, "batch_size": 4, "stiffness_blocks": 4},
        "search": {"blocks": 4, "candidates": 1, "evaluations": 20},
    }
    run = snakemake(tmp_path, config, "--", "allocation_tables", warm=True)
    assert run.returncode == 0, run.stderr
    tables = tmp_path / "results/small/tables"
    frontier = read_table(tables / "frontier.parquet")
    assert set(frontier["score"]) == {*SCORES, GREEDY, EVOLUTIONARY}
    assert (tables / "regret.csv").is_file() and (tables / "scores.csv").is_file()
    command = [sys.executable, "-P", "-m", "smdl.cli", "bits", "results/small", "--model", "own", "--budget", "9"]
    command += ["--quantizer", "gptq", "--score", "measured_kl", "--format", LLAMA_CPP]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert re.search(r"^\^blk\\\.0\\\.attn_q\\\.weight\$=q[28]_\w+$", told, re.MULTILINE)
    wrong = subprocess.run([*command[:-1], GPTQMODEL, "--step", "7"], cwd=tmp_path, capture_output=True, text=True)
    assert wrong.returncode == 1
    assert "there is no allocation of step 7; there are 0" in wrong.stderr
