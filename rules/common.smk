"""Helpers of the rules: the checked config, inputs and settings that depend on the model."""

import math
import re
import sys
from pathlib import Path

from smdl.compression.registry import SCHEMES as DECLARED
from smdl.figures import registry as figures
from smdl.models.architectures import CHOOSY
from smdl.rulers.registry import GATHERED
from smdl.rulers.registry import RULERS as DECLARED_RULERS
from smdl.rulers.registry import build as build_ruler
from smdl.runtime.cluster import resources as needs
from smdl.runtime.errors import StudyError
from smdl.runtime.fingerprint import text_fingerprint, weights_fingerprint
from smdl.runtime.snakefile import before_jobs, begin, canonical
from smdl.runtime.stages import stage_version
from smdl.settings.study import Study
from smdl.tables.registry import gathered

config = begin(workflow, config, Study)


onstart:
    before_jobs(workflow)


MODELS = config["models"]
WINDOWS = {model: its["window"] for model, its in MODELS.items() if "window" in its}
SCHEMES = config["compression"]["schemes"]
RULERS = {
    name: ruler
    for name in DECLARED_RULERS
    if (ruler := build_ruler(name, config["rulers"][name])).enabled
}
TABLES = [table for table, theme in gathered().items() if RULERS or theme != "rulers"]
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


def taken_of(model):
    """The rulers of a model that have a job per checkpoint; one that follows a scheme's curve needs the scheme."""
    return [
        name
        for name, ruler in RULERS.items()
        if ruler.tables and (not ruler.follows or ruler.follows in MODELS[model]["schemes"])
    ]


def ruled(ruler):
    """The outputs of a ruler's job."""
    return {
        table.name: f"<results>/rulers/{ruler}/{{model}}/step{{step}}/{table.name}.parquet"
        for table in DECLARED_RULERS[ruler].tables
    }


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
        *(path for name in taken_of(wildcards.model) for path in ruled(name).values()),
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


def chain_steps(settings):
    """All steps of a chain, burn-in included."""
    return settings["burn_in"] + settings["draws"] * settings["steps_between_draws"]


def chain_tokens(wildcards):
    """Tokens that a block of chains passes, controls included."""
    settings = sampler_settings(wildcards.model)
    chains = len(chains_of_block(wildcards)) * (2 if config["llc"]["control"] else 1)
    return chains * chain_steps(settings) * settings["batch_size"] * config["corpus"]["context"]


def sweep_tokens(wildcards):
    """Tokens that a checkpoint's chains pass at all settings of the sweep, and their controls at each lr and gamma."""
    settings = {**sampler_settings(wildcards.model), **config["sweep"]["sampler"]}
    lr, n_beta, gamma = (len(config["sweep"]["grid"][name]) for name in ("lr", "n_beta", "gamma"))
    chains = config["sweep"]["chains"] * lr * gamma * (n_beta + 1)
    return chains * chain_steps(settings) * settings["batch_size"] * config["corpus"]["context"]


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
    """What decides the numbers of a scheme's job; grids and noise are too fine for bfloat16."""
    common = ("batch_size", "dense_bits", "epsilons", "mode", "error_rate")
    return canonical(
        {
            "dtype": "float32",
            **{name: config["compression"][name] for name in common},
            **SCHEMES.get(scheme, {}),
        }
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


def read_by(ruler):
    """What the job of a ruler reads beside the checkpoint."""
    declared = DECLARED_RULERS[ruler]
    corpus = {
        "blocks": "<results>/corpus/blocks.npy",
        "splits": "<results>/corpus/splits.parquet",
    }
    curves = {"curves": compressed(declared.follows)["curves"]} if declared.follows else {}
    return {**(corpus if declared.runs_model else {}), **curves}


def ruler_asks(ruler):
    """What the job of a ruler asks a cluster for."""
    own = build_ruler(ruler, config["rulers"][ruler])
    cost = own.cost(config["corpus"]["context"], block_tokens("evaluation"))
    asked = asks(cost.copies, lambda wc: cost.tokens)
    return asked if own.runs_model else {**asked, "gpu": 0}


def ruler_settings(ruler):
    """What decides the numbers of a ruler's job."""

    def settings(wildcards):
        own = {key: value for key, value in config["rulers"][ruler].items() if key != "enabled"}
        curve = {}
        if followed := DECLARED_RULERS[ruler].follows:
            curve = {
                "scheme": SCHEMES[followed]["variants"][own["variant"]],
                **{name: config["compression"][name] for name in ("epsilons", "dense_bits")},
            }
        return canonical({"ruler": own, "curve": curve, "dtype": MODELS[wildcards.model]["dtype"]})

    return settings
