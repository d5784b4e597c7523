"""The sampler beside devinterp 2.0.1: time a step, peak memory, error of the estimate, and the path under equal noise.

    python benchmarks/llc_peer.py        writes results/benchmarks/llc_peer.json (some ten minutes on 2 cores)

The peer is installed into an environment of its own (--folder), which reuses this environment's torch and transformers.
Both run in fresh processes, in turn, on the same two models: one of Pythia-70m's shape with random weights (``large``)
and one trained on the spot on the King James Bible (``trained``), with the same token blocks, settings and seeds. On a
machine with a GPU ``--models 70m 410m 1.4b`` compares time and memory there, at shapes of Pythia with random weights
and minibatches of 8 blocks, since the peer passes them at once; ``--models`` alone only installs the peer.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PEER = "devinterp==2.0.1"
SETTINGS = {"n_beta": 30.0, "gamma": 300.0, "alpha": 0.99, "eps_rms": 0.1}
MODELS = {
    "large": {"architecture": (6, 512, 8, 50304, 128), "training": 0, "batch_size": 2, "lr": 3e-4, "steps": 5},
    "trained": {"architecture": (4, 64, 4, 256, 64), "training": 400, "batch_size": 16, "lr": 1e-4, "steps": 60},
    "70m": {"architecture": (6, 512, 8, 50304, 1024), "training": 0, "batch_size": 8, "lr": 3e-4, "steps": 12},
    "410m": {"architecture": (24, 1024, 16, 50304, 1024), "training": 0, "batch_size": 8, "lr": 1e-4, "steps": 12},
    "1.4b": {"architecture": (24, 2048, 16, 50304, 1024), "training": 0, "batch_size": 8, "lr": 3e-5, "steps": 12},
}
USUAL = ("large", "trained")
SEQUENCES = 512
SPLITS = {"sampling": SEQUENCES, "evaluation": 64, "calibration": 64}
PATH_STEPS = 5
# An estimate, whose spread over seeds is the standard error, is of so many chains, which leave out so many steps.
CHAINS, BURN_IN = 2, 15
# Resamples of the seeds, of which the middle 95 % are shown.
RESAMPLES, MIDDLE = 2000, (0.025, 0.5, 0.975)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / ".cache/llc_peer", help="environment and models")
    parser.add_argument("--output", type=Path, default=ROOT / "results/benchmarks/llc_peer.json")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each, in turn")
    parser.add_argument("--seeds", type=int, default=40, help="estimates of each whose spread is the standard error")
    parser.add_argument("--models", nargs="*", default=USUAL, choices=list(MODELS))
    asked = parser.parse_args()
    python = install_peer(asked.folder / "environment", PEER)
    result = {"peer": PEER, "settings": SETTINGS, "models": MODELS, "ratios": {}, "profile": {}}
    for name in asked.models:
        folder = prepare(name, asked.folder / name)
        result["ratios"][name] = compare(name, folder, python, asked.repeats, asked.seeds)
        print_ratios(name, result["ratios"][name])
        if name not in USUAL:
            continue
        result["profile"][name] = run(sys.executable, "profile", name, folder, 0)
        print(name, "milliseconds of our step:", result["profile"][name], flush=True)
    from smdl.foundation.files import replacing

    with replacing(asked.output) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n")


def install_peer(folder: Path, *asked: str) -> Path:
    """The Python of an environment with what pip is ``asked`` for, which sees the packages of this one; made once."""
    python = folder / "bin/python"
    if not (folder / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        own = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
        (own / "smdl_environment.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT / 'src'}\n")
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-c", ROOT / "requirements.lock", *asked], check=True)
        (folder / "installed").touch()
    return python


def prepare(name: str, folder: Path) -> Path:
    """A folder with the model and its token blocks; made where it is not there."""
    if (folder / "blocks.npy").exists():
        return folder
    from smdl.corpus.blocks import cut, read_tokens
    from smdl.corpus.settings import PackageText
    from smdl.sources.train import Architecture, Training
    from smdl.sources.training import Run, new_model, train

    layers, hidden, heads, vocabulary, context = MODELS[name]["architecture"]
    model = new_model(Architecture(layers=layers, hidden=hidden, heads=heads), vocabulary, context, seed=0)
    steps = MODELS[name]["training"]
    if steps:
        text = PackageText(source="package", name="kjv", context=context, blocks=SPLITS)
        tokens, vocabulary, _ = read_tokens(text)
        blocks, splits = cut(tokens, vocabulary, context, SPLITS, 0)
        training = Training(steps=steps, batch_size=32, lr=2e-3, warmup=50)
        for _ in train(Run(model, blocks[splits[-1].first :], training, 0), [steps], folder):
            pass
        blocks = blocks[:SEQUENCES]
    else:
        blocks = np.random.default_rng(0).integers(0, vocabulary, (SEQUENCES, context))
    model.save_pretrained(folder)
    np.save(folder / "blocks.npy", blocks.astype(np.int64))
    return folder


def compare(name: str, folder: Path, python: Path, repeats: int, seeds: int) -> dict[str, dict[str, float]]:
    """Min, median and max of each ratio: over the repeats, or of the middle 95 % of the resampled seeds for errors.

    Below one (above, for step_vs_peer) is in our favour.
    """
    ours, peer, floor = [], [], []
    for repeat in range(repeats):
        ours.append(run(sys.executable, "ours", name, folder, repeat))
        floor.append(run(sys.executable, "floor", name, folder, repeat))
        peer.append(run(python, "peer", name, folder, repeat))
    found = {
        "step_over_floor": [a["step"] / b["step"] for a, b in zip(ours, floor, strict=True)],
        "step_vs_peer": [b["step"] / a["step"] for a, b in zip(ours, peer, strict=True)],
        "memory_vs_peer": [a["memory"] / b["memory"] for a, b in zip(ours, peer, strict=True)],
    }
    if name in USUAL:
        found["path_max_difference"] = paths(name, folder, python)
    if name == "trained":
        found |= errors(name, folder, python, seeds, float(np.median([its["step"] for its in peer])))
    return {key: {"min": min(v), "median": float(np.median(v)), "max": max(v)} for key, v in found.items()}


def paths(name: str, folder: Path, python: Path) -> list[float]:
    """Largest difference of a weight after each of a few steps under equal noise and equal minibatches."""
    run(sys.executable, "path_ours", name, folder, 0)
    run(python, "path_peer", name, folder, 0)
    ours, peer = (np.load(folder / f"path_{which}.npy", mmap_mode="r") for which in ("ours", "peer"))
    return [float(np.abs(a - b).max()) for a, b in zip(ours, peer, strict=True)]


def errors(name: str, folder: Path, python: Path, seeds: int, step: float) -> dict[str, list[float]]:
    """Ratios of the estimate's standard deviation over seeds to the peer's, resampled over the seeds.

    ``step`` is the peer's time per step (s). Ours is the plain mean over a chain's draws, and the estimate with the
    chain's control as control variate, its time with all that the control takes. A shorter time buys more steps, and
    the variance falls as their number grows.
    """
    ours = run(sys.executable, "ours_estimates", name, folder, seeds)
    others = np.array(run(python, "peer_estimates", name, folder, seeds)["llc"])
    draws = np.random.default_rng(0).integers(0, seeds, (RESAMPLES, seeds))
    draws[0] = np.arange(seeds)
    spread, found = others[draws].std(axis=1, ddof=1), {}
    print(f"peer {others.mean():.4g} +- {others.std(ddof=1):.3g}", flush=True)
    for which in ("plain", "controlled"):
        own, seconds = np.array(ours[which]["llc"]), ours[which]["step"]
        print(f"{which} {own.mean():.4g} +- {own.std(ddof=1):.3g}, {1000 * seconds:.3g} ms per step", flush=True)
        ratio = own[draws].std(axis=1, ddof=1) / spread
        found[f"{which}_se_vs_peer_equal_steps"] = np.quantile(ratio, MIDDLE).tolist()
        found[f"{which}_se_vs_peer_equal_time"] = np.quantile(ratio * np.sqrt(seconds / step), MIDDLE).tolist()
    return found


def print_ratios(name: str, ratios: dict[str, dict[str, float]]) -> None:
    for key, values in ratios.items():
        print(
            f"{name:8s} {key:24s} {values['median']:10.3g}   ({values['min']:.3g} to {values['max']:.3g})", flush=True
        )


def run(executable: str | Path, which: str, name: str, folder: Path, seed: int) -> dict[str, float]:
    """Run this file as a worker in a fresh process; the last line of its output is its result."""
    command = [executable, __file__, "--worker", which, name, folder, str(seed)]
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, env={**os.environ, "TQDM_DISABLE": "1"}
    )
    if done.returncode:
        sys.exit(f"{which} failed on {name}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def worker(which: str, name: str, folder: str, seed: str) -> None:
    model, blocks = load(folder)
    work = {
        "ours": ours,
        "floor": floor,
        "profile": profile,
        "peer": peer,
        "path_ours": path_ours,
        "path_peer": path_peer,
        "ours_estimates": ours_estimates,
        "peer_estimates": peer_estimates,
    }[which]
    found = work(model, blocks, MODELS[name], int(seed), Path(folder))
    print(json.dumps({**found, "memory": peak_mb()}))


def peak_mb() -> float:
    """The largest memory of this process (MB): of the GPU where there is one."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def wait() -> None:
    """Until a GPU has done what it was told."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def load(folder: str):
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    return model.to("cuda" if torch.cuda.is_available() else "cpu"), np.load(Path(folder) / "blocks.npy")


def our_loss(model, blocks: np.ndarray):
    from smdl.models.loading import BlockLoss

    return BlockLoss(model, blocks)


def our_settings(model: dict, steps: int):
    from smdl.llc.settings import Sampler

    return Sampler(
        **SETTINGS, lr=model["lr"], batch_size=model["batch_size"], burn_in=0, draws=steps, steps_between_draws=1
    )


def ours(model, blocks, about, seed, folder) -> dict[str, float]:
    loss = our_loss(model, blocks)
    from smdl.llc.sampler import Walker

    walker = Walker(loss, our_settings(about, about["steps"]))
    times, last = [], time.perf_counter()
    for _ in walker.walk(seed, 0, SETTINGS["n_beta"]):
        wait()
        times.append(time.perf_counter() - last)
        last = time.perf_counter()
    return {"step": float(np.median(times[1:]))}


def profile(model, blocks, about, seed, folder) -> dict[str, float]:
    """Where our step's time goes, in milliseconds; the update of a large model happens within its backward pass."""
    import torch

    loss = our_loss(model, blocks)
    from smdl.llc import sampler

    spent = dict.fromkeys(("forward", "backward", "update", "minibatch"), 0.0)

    def timed(name: str, work):
        def timed_work(*arguments, **named):
            start = time.perf_counter()
            found = work(*arguments, **named)
            spent[name] += time.perf_counter() - start
            return found

        return timed_work

    type(loss).__call__ = timed("forward", type(loss).__call__)
    torch.Tensor.backward = timed("backward", torch.Tensor.backward)
    sampler.Walker._take = timed("update", sampler.Walker._take)
    sampler.minibatch = timed("minibatch", sampler.minibatch)
    walker = sampler.Walker(loss, our_settings(about, about["steps"]))
    start = time.perf_counter()
    for _ in walker.walk(seed, 0, SETTINGS["n_beta"]):
        pass
    total = time.perf_counter() - start
    if walker._gradient is None:
        spent["backward"] -= spent["update"]
    spent["rest"] = total - sum(spent.values())
    return {name: round(1000 * seconds / about["steps"], 3) for name, seconds in spent.items()}


def ours_estimates(model, blocks, about, seeds, folder) -> dict[str, dict]:
    """An estimate per seed, and the time per step of a chain: plain, and with the chains' controls."""
    loss = our_loss(model, blocks)
    from smdl.llc.chains import frame, localised_rows, rows_of
    from smdl.llc.estimate import adjusted, excess_losses
    from smdl.llc.sampler import Walker
    from smdl.models.loading import block_losses
    from smdl.tables.study import CONTROL, LOCALISED, POSTERIOR

    baseline = block_losses(model, blocks, about["batch_size"])
    its = our_settings(about, about["steps"]).changed(burn_in=BURN_IN, draws=about["steps"] - BURN_IN)
    found = {}
    for which, control in (("plain", False), ("controlled", True)):
        walker, estimates = Walker(loss, its, control=control), []
        start = time.perf_counter()
        for seed in range(seeds):
            rows = []
            for chain in range(CHAINS):
                walker.reset()
                if control:
                    rows += localised_rows(walker, seed, chain, baseline)
                for seen in walker.walk(seed, chain, its.n_beta):
                    rows += rows_of(seen, its, chain, baseline)
            draws = frame(rows)
            draws = draws[draws["draw"] >= 0]
            if control:
                parts = (excess_losses(draws, kind) for kind in (POSTERIOR, CONTROL, LOCALISED))
                estimates.append(float(adjusted(*parts, its.n_beta)["llc"]))
            else:
                estimates.append(its.n_beta * float(excess_losses(draws, POSTERIOR).mean()))
        found[which] = {"llc": estimates, "step": (time.perf_counter() - start) / (seeds * CHAINS * about["steps"])}
        # The next walker takes the weights that it finds for w*.
        walker.reset()
    return found


def floor(model, blocks, about, seed, folder) -> dict[str, float]:
    loss = our_loss(model, blocks)
    times = []
    for step in range(about["steps"]):
        sequences = np.random.default_rng([seed, step]).choice(len(blocks), about["batch_size"], replace=False)
        start = time.perf_counter()
        for parameter in loss.parameters:
            parameter.grad = None
        loss(sequences).mean().backward()
        wait()
        times.append(time.perf_counter() - start)
    return {"step": float(np.median(times[1:]))}


def peer(model, blocks, about, seed, folder) -> dict[str, float]:
    """The peer through its own entry point, its steps told apart by the calls of its optimiser."""
    from devinterp.optim import SGMCMC

    ends, step = [], SGMCMC.step

    def timed(self, *arguments, **named):
        found = step(self, *arguments, **named)
        wait()
        ends.append(time.perf_counter())
        return found

    SGMCMC.step = timed
    peer_estimate(model, blocks, about, seed)
    return {"step": float(np.median(np.diff(ends)))}


def peer_estimates(model, blocks, about, seeds, folder) -> dict[str, list[float]]:
    """An estimate per seed; the peer copies the model for each chain."""
    return {"llc": [peer_estimate(model, blocks, about, seed, CHAINS, BURN_IN) for seed in range(seeds)]}


def peer_estimate(model, blocks, about, seed, chains: int = 1, burn_in: int = 0) -> float:
    import shutil
    import tempfile

    from datasets import Dataset
    from devinterp.slt.llc import compute_llc
    from devinterp.slt.sampling import sample

    dataset = Dataset.from_dict({"input_ids": blocks.tolist()}).with_format("torch")
    output = Path(tempfile.mkdtemp())
    try:
        samples = sample(
            model,
            dataset,
            {},
            lr=about["lr"],
            n_beta=SETTINGS["n_beta"],
            localization=SETTINGS["gamma"],
            num_chains=chains,
            num_draws=about["steps"] - burn_in,
            num_burnin_steps=burn_in,
            batch_size=about["batch_size"],
            num_init_loss_batches=min(32, len(blocks) // about["batch_size"]) if about["training"] else 1,
            init_seed=seed,
            sampling_method="rmsprop_sgld",
            rmsprop_eps=SETTINGS["eps_rms"],
            rmsprop_alpha=SETTINGS["alpha"],
            output_path=output / "samples.zarr",
        )
        # The peer's own mean takes in the burn-in, where the loss is still rising.
        found = compute_llc(samples)
        return SETTINGS["n_beta"] * float(found.loss_trace.isel(step=slice(burn_in, None)).mean() - found.init_loss)
    finally:
        shutil.rmtree(output)


def path_ours(model, blocks, about, seed, folder) -> dict[str, float]:
    loss = our_loss(model, blocks)
    from smdl.llc.sampler import Walker

    walker = Walker(loss, our_settings(about, PATH_STEPS))
    np.save(
        folder / "path_ours.npy",
        np.stack([walker.weights.cpu().numpy().copy() for _ in walker.walk(0, 0, SETTINGS["n_beta"])]),
    )
    return {}


def path_peer(model, blocks, about, seed, folder) -> dict[str, float]:
    """The peer's optimiser given our minibatches and, in the place of torch.normal, our noise."""
    import devinterp.optim.sgmcmc as peer_code
    import torch
    from devinterp.optim import SGMCMC
    from devinterp.slt.lm_loss import compute_per_token_loss

    from smdl.llc.noise import GROUP, normals
    from smdl.llc.sampler import minibatch

    parameters = list(model.parameters())
    settings = {"lr": about["lr"], "nbeta": SETTINGS["n_beta"], "localization": SETTINGS["gamma"]}
    optimizer = SGMCMC.rmsprop_sgld(parameters, **settings, alpha=SETTINGS["alpha"], eps=SETTINGS["eps_rms"])
    now = {"step": 0, "place": 0}

    class Torch:
        """torch with our noise for its own."""

        def __getattr__(self, name):
            return getattr(torch, name)

        def normal(self, mean, std, size, device, generator):
            noise = normals(0, 0, now["step"], now["place"], size.numel(), device).view(size)
            now["place"] += -(-size.numel() // GROUP) * GROUP
            return noise

    peer_code.torch = Torch()
    path = []
    for step in range(PATH_STEPS):
        now.update(step=step, place=0)
        sequences = minibatch(0, 0, step, len(blocks), about["batch_size"])
        optimizer.zero_grad()
        tokens = torch.from_numpy(blocks[sequences]).to(model.device)
        compute_per_token_loss(model, tokens).mean().backward()
        optimizer.step()
        path.append(torch.cat([p.detach().flatten() for p in parameters]).cpu().numpy())
    np.save(folder / "path_peer.npy", np.stack(path))
    return {}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(*sys.argv[2:])
    else:
        main()
