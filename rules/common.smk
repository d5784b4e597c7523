"""Helpers of the rules: the validated config, settings as canonical text, inputs that depend on the model."""

import json
import math
import os
import re
import shlex
import sys
from pathlib import Path

from smdl.compression.registry import SCHEMES as DECLARED
from smdl.figures import registry as figures
from smdl.models.architectures import CHOOSY
from smdl.runtime import claim, leash, stop, warm
from smdl.runtime.cluster import guard
from smdl.runtime.cluster import resources as needs
from smdl.settings.config import validated
from smdl.settings.configfile import load
from smdl.runtime.errors import StudyError
from smdl.runtime.fingerprint import text_fingerprint, weights_fingerprint
from smdl.runtime.stages import stage_version
from smdl.tables.registry import gathered

try:
    # Snakemake has read these already, and loosely: of keys that stand twice it keeps the last.
    for file in filter(os.path.isfile, workflow.configfiles):
        load(file)
    config = validated(config)
except StudyError as problems:
    # Snakemake's own log may lose what is said just before it ends.
    sys.exit(str(problems))

# Snakemake writes the path of Python into shell commands as it stands: quoted, it may hold spaces.
sys.executable = shlex.quote(sys.executable)
guard.install()
claim.install()
if os.environ.get(warm.PARENT) == str(os.getppid()):
    leash.end_with(os.getppid())
# Bash would die of SLURM's warning, and the script with it before its state is saved: let bash wait instead.
shell.prefix("set -euo pipefail; trap : TERM; ")


onstart:
    # Snakemake's limit of 100 new jobs a second, its default, looks for jobs once a second for every job that has ever
    # ended, until that takes a whole core. Nothing here starts jobs faster.
    workflow.scheduler.job_rate_limiter = None
    if workflow.local_exec and workflow.is_main_process:
        stop.end_jobs_when_asked(workflow.scheduler.exit_gracefully)


MODELS = config["models"]
WINDOWS = {model: its["window"] for model, its in MODELS.items() if "window" in its}
SCHEMES = config["compression"]["schemes"]
MEASURING = any(config["coding"][name]["enabled"] for name in ("lengths", "bits_back", "proxies"))
TABLES = [table for table, theme in gathered().items() if MEASURING or theme != "rulers"]
PAGES = ["explorer", "settings", *TABLES]
CHECKPOINTS = [(model, step) for model, its in MODELS.items() for step in its["steps"]]
# What a figure may be drawn once per, and its values in this study.
PER = {
    "scheme": [
        scheme for scheme in SCHEMES if any(scheme in its["schemes"] for its in MODELS.values())
    ],
    "model": list(MODELS),
}
BLOCKS = range(math.ceil(config["llc"]["chains"] / config["llc"]["chains_per_job"]))


def canonical(settings):
    """Settings as text in which the order of keys does not count, so that reordering reruns nothing.

    Snakemake's report holds it within a script: no ``</script>`` of a name may end that.
    """
    return json.dumps(settings, sort_keys=True).replace("<", "\\u003c")


def of_source(source):
    """A regular expression for the models of one source; where there are none it matches nothing."""
    models = [re.escape(model) for model, its in MODELS.items() if its["source"] == source]
    return "|".join(models) or "(?!)"


def of_checkpoints(pattern, **more):
    """``pattern`` filled in for every checkpoint of the study."""
    return [
        path
        for model, step in CHECKPOINTS
        for path in expand(pattern, model=model, step=step, **more)
    ]


def of_schemes(pattern):
    """``pattern`` filled in for every checkpoint and every scheme that is run on it."""
    return [
        path
        for model, step in CHECKPOINTS
        for path in expand(pattern, model=model, step=step, scheme=MODELS[model]["schemes"])
    ]


def measured(model):
    """The tables of the rulers that are taken of a model; coding lengths follow the curve of its quantization."""
    return [
        table
        for table in MEASURED
        if table not in ("coding", "two_part") or "quantize" in MODELS[model]["schemes"]
    ]


def weights(wildcards):
    """What holds the weights of a checkpoint: one folder a training, one a download, or the user's own."""
    match MODELS[wildcards.model]["source"]:
        case "train":
            return f"<results>/trained/{wildcards.model}"
        case "hub":
            return f"<results>/downloads/{wildcards.model}/step{wildcards.step}"
        case "local":
            # Whether they have changed is told by their content (``folder_content``), not by the folder's time.
            return ancient(local_folder(wildcards))


def local_folder(wildcards):
    """The user's folder of a checkpoint."""
    return MODELS[wildcards.model]["path"].format(step=wildcards.step)


# What every job on a checkpoint but the first, `reference`, reads of it: the weights, what they were when they were
# measured, and their losses. A job whose weights are others fails; one whose checkpoint is not sound ends at once.
OF_CHECKPOINT = {
    "weights": weights,
    "manifest": "<results>/reference/{model}/step{step}/manifest.parquet",
    "losses": "<results>/reference/{model}/step{step}/losses.parquet",
}


def folder_content(wildcards):
    """What tells that the weights in the user's folder are others than before; None for those of a hub or a training."""
    local = MODELS[wildcards.model]["source"] == "local"
    return weights_fingerprint(local_folder(wildcards)) if local else None


def corpus_content():
    """What tells that the texts or the tokenizer on this disk are others than before; None where there are none."""
    folder = config["corpus"]["path"] if config["corpus"]["source"] == "local" else None
    return text_fingerprint(folder, config["corpus"]["tokenizer"])


def screening(wildcards):
    """The table of checkpoints to leave alone, for checkpoints of a hub, and for all where any is of a hub."""
    models = [wildcards.model] if "model" in wildcards.keys() else MODELS
    hub = any(MODELS[model]["source"] == "hub" for model in models)
    return {"screening": ancient("<results>/audit/screening.parquet")} if hub else {}


def users_before(wildcards):
    """The last outputs that need the checkpoint which lies one disk window before this one, in the config's order."""
    steps, window = MODELS[wildcards.model]["steps"], config["disk"]["window"]
    place = steps.index(int(wildcards.step)) - window
    if place < 0:
        return []
    users = [
        *expand("<results>/draws/{{model}}/step{{step}}/block{block}.parquet", block=BLOCKS),
        *expand(
            "<results>/compression/{scheme}/{{model}}/step{{step}}/critical.parquet",
            scheme=MODELS[wildcards.model]["schemes"],
        ),
        *expand(
            "<results>/coding/{{model}}/step{{step}}/{table}.parquet",
            table=measured(wildcards.model),
        ),
    ]
    return expand(users, model=wildcards.model, step=steps[place])


def checkpoint(wildcards, input):
    """The folder of a checkpoint in Hugging Face format."""
    trained = MODELS[wildcards.model]["source"] == "train"
    return f"{input.weights}/step{wildcards.step}" if trained else str(input.weights)


def training_settings(model):
    """What decides a training; the variant that its constraint names is looked up among the schemes."""
    own = MODELS[model]
    named = own.get("constraint")
    constraint = named and {
        "scheme": [named["scheme"], SCHEMES[named["scheme"]]["variants"][named["variant"]]],
        **{name: named[name] for name in ("level", "mode", "every")},
    }
    return {
        **{name: own[name] for name in ("architecture", "training", "steps")},
        "constraint": constraint,
    }


def sampler_settings(model):
    """The common settings of the sampler with those of the model laid over them."""
    own = {**config["llc"], **MODELS[model].get("llc", {})}
    names = (
        "lr",
        "n_beta",
        "gamma",
        "alpha",
        "eps_rms",
        "batch_size",
        "burn_in",
        "draws",
        "steps_between_draws",
    )
    return {name: own[name] for name in (*names, "sequences_at_once") if name in own}


def calibration_settings(family):
    """What decides the numbers of a family of the calibration."""
    return {**config["calibration"]["families"][family], "gates": config["llc"]["gates"]}


def chains_of_block(wildcards):
    """The numbers of the chains that one job samples."""
    size = config["llc"]["chains_per_job"]
    first = int(wildcards.block) * size
    return list(range(first, min(first + size, config["llc"]["chains"])))


def asks(copies, tokens, finished=None, dtype=None):
    """What a job on one model asks a cluster for; without effect on one machine.

    ``copies`` is how many vectors as long as the weights it holds, ``tokens`` how many it passes forward and back,
    ``finished`` the pattern of tables by earlier jobs of the same work, whose wall times then set the limit,
    ``dtype`` the precision of the weights, where it is not that of the model's chains.
    """

    def size(wildcards):
        return needs.parameters(MODELS[wildcards.model])

    def memory(wildcards, attempt):
        precision = dtype or MODELS[wildcards.model]["dtype"]
        return needs.memory_mb(size(wildcards), precision, copies, attempt)

    def minutes(wildcards, attempt):
        done = (
            Path("results", config["study"]).glob(finished.format(model=wildcards.model))
            if finished
            else ()
        )
        try:
            measured = needs.wall_seconds(done)
        except StudyError as damage:
            sys.exit(f"error: {damage}")
        return needs.minutes(size(wildcards), tokens(wildcards), attempt, measured)

    return {
        "gpu": lambda wildcards: needs.gpus(size(wildcards)),
        "mem_mb": memory,
        "runtime": minutes,
    }


def chain_tokens(wildcards):
    """Tokens that a block of chains passes, controls included."""
    settings = sampler_settings(wildcards.model)
    steps = settings["burn_in"] + settings["draws"] * settings["steps_between_draws"]
    chains = len(chains_of_block(wildcards)) * (2 if config["llc"]["control"] else 1)
    return chains * steps * settings["batch_size"] * config["corpus"]["context"]


def sweep_tokens(wildcards):
    """Tokens that a checkpoint's chains pass at all settings of the sweep, and their controls at each lr and gamma."""
    settings = {**sampler_settings(wildcards.model), **config["sweep"]["sampler"]}
    steps = settings["burn_in"] + settings["draws"] * settings["steps_between_draws"]
    lr, n_beta, gamma = (len(config["sweep"]["grid"][name]) for name in ("lr", "n_beta", "gamma"))
    chains = config["sweep"]["chains"] * lr * gamma * (n_beta + 1)
    return chains * steps * settings["batch_size"] * config["corpus"]["context"]


def block_tokens(*splits):
    """Tokens of some splits of the corpus."""
    return sum(config["corpus"]["blocks"][split] for split in splits) * config["corpus"]["context"]


def evaluation_passes(count):
    """Tokens that ``count`` passes of the evaluation blocks take."""
    return lambda wildcards: count * block_tokens("evaluation")


def training_tokens(wildcards):
    """Tokens that a training passes."""
    training = MODELS[wildcards.model]["training"]
    return training["steps"] * training["batch_size"] * config["corpus"]["context"]


def scheme_settings(scheme):
    """What decides the numbers of a scheme's job."""
    common = ("batch_size", "dense_bits", "epsilons", "mode", "error_rate")
    return canonical(
        {**{name: config["compression"][name] for name in common}, **SCHEMES.get(scheme, {})}
    )


def compressed(scheme):
    """The outputs of a scheme's job."""
    return {
        table: f"<results>/compression/{scheme}/{{model}}/step{{step}}/{table}.parquet"
        for table in ("curves", "critical")
    }


def chains():
    """The draws of all chains of the study."""
    return of_checkpoints("<results>/draws/{model}/step{step}/block{block}.parquet", block=BLOCKS)


def declared_figures():
    """The figures of the study, but for those of tables that it does not make; one line per mistake in any."""
    found = figures.declared()
    captions = workflow.current_basedir.join("../docs/captions")
    captioned = [
        one.name for one in found if workflow.sourcecache.exists(captions.join(f"{one.name}.rst"))
    ]
    try:
        figures.check(found, captioned, tables=[*gathered(), "draws"], per=PER)
    except StudyError as problems:
        sys.exit(str(problems))
    return [one for one in found if {*TABLES, "draws"}.issuperset(one.tables)]


FIGURES = declared_figures()


def of_figures(pattern):
    """``pattern`` filled in for every picture of the study's figures."""
    return [
        pattern.format(figure=path)
        for one in FIGURES
        for path in expand(one.path, **{name: PER[name] for name in one.per})
    ]


def figure_tables(figure):
    """The files that a figure is drawn from."""
    return {
        table: chains() if table == "draws" else f"<results>/tables/{table}.parquet"
        for table in figure.tables
    }


def figure_varies(figure):
    """What a job of a figure is drawn for, as settings."""
    return lambda wildcards: canonical({name: wildcards[name] for name in figure.per})


def drawn(figure):
    """The files of a figure; the report shows the picture, with the caption that bears the figure's name."""
    files = {format: f"<results>/figures/{figure.path}.{format}" for format in ("svg", "png")}
    caption = f"../docs/captions/{figure.name}.rst"
    labels = {"figure": figure.path}
    return {
        **files,
        "png": report(files["png"], caption=caption, category="Figures", labels=labels),
    }


def csv(table):
    """The CSV file of a table, which the report offers beside the table's page."""
    return report(
        f"<results>/tables/{table}.csv",
        caption="../docs/captions/table.rst",
        category="Tables",
        labels={"table": table, "as": "CSV"},
    )


def theory_tables(part):
    """The outputs of a part of the theory, one a model."""
    return expand(
        f"results/theory/{part}/{{model}}.parquet", model=config["theory"][part]["models"]
    )


def theory_networks(part):
    """The outputs of a part of the theory, one a trained network."""
    units = config["theory"]["networks"]["teacher_units"]
    return expand(f"results/theory/{part}/teacher{{units}}.parquet", units=units)


def theory_drawn(figure):
    """The files of a figure of the theory."""
    return {format: f"results/theory/figures/{figure}.{format}" for format in ("svg", "png")}
