"""Helpers of the rules: the checked config, inputs and settings that depend on the model."""

import math
import re
import sys
from functools import cache
from pathlib import Path

from smdl.compression.passes import passes
from smdl.compression.registry import SCHEMES as DECLARED
from smdl.figures import registry as figures
from smdl.llc.settings import Sampler, sampler_of
from smdl.models.architectures import CHOOSY
from smdl.rulers.registry import GATHERED
from smdl.rulers.registry import RULERS as DECLARED_RULERS
from smdl.rulers.registry import build as build_ruler
from smdl.runtime.cluster import memory
from smdl.runtime.cluster import resources as needs
from smdl.foundation.errors import StudyError
from smdl.runtime.fingerprint import text_fingerprint, weights_fingerprint
from smdl.runtime.snakefile import alone, as_given, before_jobs, begin, canonical
from smdl.runtime.stages import stage_version
from smdl.settings.config import plain
from smdl.sources.registry import SOURCES as DECLARED_SOURCES
from smdl.study.study import Study
from smdl.study.tables import gathered

config, STUDY = begin(workflow, config, Study)


onstart:
    before_jobs(workflow)


MODELS = STUDY.models
WINDOWS = {model: its.window for model, its in MODELS.items() if its.window}
SCHEMES = config["compression"]["schemes"]
RULERS = {
    name: ruler
    for name in DECLARED_RULERS
    if (ruler := build_ruler(name, config["rulers"][name])).enabled
}
# Tables of what this study does not have.
LEFT_OUT = {
    *(() if STUDY.population else ("tables.population",)),
    *(() if STUDY.llc.restrictions else ("tables.restricted",)),
    *(() if STUDY.allocation else ("tables.allocation",)),
}
TABLES = [table for table, theme in gathered().items() if theme not in LEFT_OUT]
PAGES = ["explorer", "settings", *TABLES]
CHECKPOINTS = [(model, step) for model, its in MODELS.items() for step in its.steps]
# What a figure may be drawn once per, and its values in this study.
PER = {
    "scheme": [
        scheme for scheme in SCHEMES if any(scheme in its.schemes for its in MODELS.values())
    ],
    "model": list(MODELS),
}
# The headline's first.
LLC_SETTINGS = sorted(STUDY.llc.settings, key=lambda name: name != STUDY.llc.first)
# In paths a restriction has no spaces.
RESTRICTIONS = {name.replace(" ", "-"): name for name in STUDY.llc.restrictions}
BLOCKS = range(math.ceil(STUDY.llc.chains / STUDY.llc.chains_per_job))


# The token blocks of the study, and which split each is of.
OF_CORPUS = {
    "blocks": "<results>/corpus/blocks.npy",
    "splits": "<results>/corpus/splits.parquet",
}


def of_models(such):
    """A regular expression for the models of which ``such`` holds; where there are none it matches nothing."""
    return "|".join(re.escape(model) for model, its in MODELS.items() if such(its)) or "(?!)"


def of_source(source):
    """A regular expression for the models of one source."""
    return of_models(lambda its: its.source == source)


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
        for path in expand(pattern, model=model, step=step, scheme=MODELS[model].schemes)
    ]


def size_of(model):
    """Number of weights of a model."""
    return STUDY.size(model, needs.vocabulary(STUDY.corpus.tokenizer))


@cache
def needs_of(model):
    """What jobs on a model need of memory, by rule."""
    return memory.needs(STUDY, model)


if problems := list(memory.too_large(STUDY)):
    sys.exit("\n".join(f"error: {line}" for line in problems))


def taken_of(model):
    """The rulers of a model that have a job per checkpoint; one that follows a scheme's curve needs the scheme."""
    return [
        name
        for name, ruler in RULERS.items()
        if ruler.tables
        and (not ruler.follows or ruler.follows in MODELS[model].schemes)
        and ruler.takes(size_of(model))
    ]


def ruled(ruler):
    """The outputs of a ruler's job."""
    return {
        table.name: f"<results>/rulers/{ruler}/{{model}}/step{{step}}/{table.name}.parquet"
        for table in DECLARED_RULERS[ruler].tables
    }


def measured(model):
    """All files that jobs make of a checkpoint of a model once it has its manifest and its losses."""
    return [
        *expand(
            "<results>/draws/{setting}/{{model}}/step{{step}}/block{block}.parquet",
            setting=LLC_SETTINGS,
            block=BLOCKS,
        ),
        *expand(
            "<results>/restricted/{setting}/{{model}}/step{{step}}/{restriction}/block{block}.parquet",
            setting=LLC_SETTINGS,
            restriction=RESTRICTIONS,
            block=BLOCKS,
        ),
        *(path for scheme in MODELS[model].schemes for path in compressed(scheme).values()),
        *(path for ruler in taken_of(model) for path in ruled(ruler).values()),
        *(allocation_of_checkpoint().values() if STUDY.allocation else ()),
    ]


def made_by(source):
    """The outputs of a source's job."""
    folder = directory(f"<results>/{source.making.folder}")
    return {
        "weights": temp(folder) if source.making.temporary else folder,
        **{
            table.name: f"<results>/{source.making.path_of(table)}"
            for table in source.making.tables
        },
    }


def log_of_source(source):
    """The log of a source's job."""
    place = "{model}/step{step}" if source.making.per_step else "{model}"
    return f"<logs>/{source.making.rule}/{place}.log"


def of_making(*names):
    """The tables that sources write with the weights of the study's checkpoints; only those of the ``names`` given."""
    return sorted(
        {
            f"<results>/{its.making.path_of(table)}".format(model=model, step=step)
            for model, its in MODELS.items()
            if its.making
            for table in its.making.tables
            if not names or table.name in names
            for step in its.steps
        }
    )


def read_by_source(source):
    """What a source's job reads; where weights are temporary it waits for its turn."""
    files = {
        "corpus": OF_CORPUS,
        "listing": {
            "listing": ancient("<results>/audit/listing.parquet"),
            "screening": ancient("<results>/audit/screening.parquet"),
        },
        "run": {"run": run_of},
    }
    turn = {"turn": ancient("<results>/audit/turns/{model}/step{step}")}
    read = {key: path for name in source.making.reads for key, path in files[name].items()}
    return {**read, **(turn if source.making.temporary else {})}


def run_of(wildcards):
    """The folder of the model that a branch is made from."""
    origin = MODELS[wildcards.model].origin
    return f"<results>/{MODELS[origin].making.folder}".format(model=origin)


def source_asks(source):
    """What a source's job asks a cluster for; one with the network runs beside Snakemake, few at a time."""
    if source.making.network:
        return {"hub": 1}
    return asks(source.making.rule, lambda wc: STUDY.tokens(wc.model))


def decided_by_source(wildcards):
    """What decides the weights that a source's job makes."""
    step = int(wildcards.step) if "step" in wildcards.keys() else None
    return canonical(plain(MODELS[wildcards.model].decides(step, STUDY.compression.schemes)))


def weights(wildcards):
    """What holds the weights of a checkpoint: the folder that a job of its source makes, or the user's own."""
    making = MODELS[wildcards.model].making
    # Whether the user's have changed is decided by their content (``folder_content``), not by the folder's time.
    return f"<results>/{making.folder}" if making else ancient(users_folder(wildcards))


def users_folder(wildcards):
    """The user's folder of a checkpoint."""
    return str(MODELS[wildcards.model].folder(int(wildcards.step)))


# What every job on a checkpoint but the first, `reference`, reads of it: the weights, what they were when they were
# measured, and their losses. A job whose weights are others fails; one whose checkpoint is not sound ends at once.
OF_CHECKPOINT = {
    "weights": weights,
    "manifest": "<results>/reference/{model}/step{step}/manifest.parquet",
    "losses": "<results>/reference/{model}/step{step}/losses.parquet",
}


def folder_content(wildcards):
    """What shows that the weights in the user's folder are others than before; None for those that a job made."""
    made = MODELS[wildcards.model].making
    return None if made else weights_fingerprint(users_folder(wildcards))


def corpus_content():
    """What shows that the texts or the tokenizer on this disk are others than before; None where there are none."""
    folder = config["corpus"]["path"] if config["corpus"]["source"] == "local" else None
    return text_fingerprint(folder, config["corpus"]["tokenizer"])


def screening(wildcards):
    """The table of checkpoints to leave alone, for listed checkpoints, and for all where any is listed."""
    models = [wildcards.model] if "model" in wildcards.keys() else MODELS
    listed = any(MODELS[model].listed for model in models)
    return {"screening": ancient("<results>/audit/screening.parquet")} if listed else {}


def users_before(wildcards):
    """All that needs the checkpoint which lies one disk window before this one, in the config's order."""
    steps = MODELS[wildcards.model].steps
    place = steps.index(int(wildcards.step)) - STUDY.disk.window
    return (
        expand(measured(wildcards.model), model=wildcards.model, step=steps[place])
        if place >= 0
        else []
    )


def checkpoint(wildcards, input):
    """The folder of a checkpoint in Hugging Face format."""
    making = MODELS[wildcards.model].making
    all_steps = making and not making.per_step
    return f"{input.weights}/step{wildcards.step}" if all_steps else str(input.weights)


def sampler(model, setting):
    """A named setting of the sampler, as it is for a model."""
    return sampler_of(STUDY.llc, MODELS[model].llc, setting)


def sampler_settings(model, setting):
    """What decides the steps of a model's chains."""
    own = plain(sampler(model, setting))
    return {name: value for name, value in own.items() if name in Sampler.model_fields}


def sampler_seed(wildcards):
    """The seed of the chains of a named setting: its own, or the study's."""
    own = STUDY.llc.settings[wildcards.setting].seed
    return config["seed"] if own is None else own


def chains_of_block(wildcards):
    """The numbers of the chains that one job samples."""
    size = STUDY.llc.chains_per_job
    first = int(wildcards.block) * size
    return list(range(first, min(first + size, STUDY.llc.chains)))


def asks(rule, tokens, finished=None, dtype="float32"):
    """What a job of a rule on one model asks a cluster for; without effect on one machine, except for the GPU.

    ``tokens`` is how many it passes forward and back, ``finished`` the pattern of tables by earlier jobs of the same
    work, whose wall times then set the limit, ``dtype`` the precision in which the weights are loaded, None for that of
    the model's chains.
    """

    def size(wildcards):
        return size_of(wildcards.model)

    def host(wildcards, attempt):
        loaded = size(wildcards) * needs.BYTES[dtype or MODELS[wildcards.model].dtype]
        need = needs_of(wildcards.model)[rule]
        return needs.memory_mb(need, loaded, gpu(wildcards), attempt)

    def gpu(wildcards):
        return needs.gpus(size(wildcards)) if rule in needs.GPU_RULES else 0

    def device(wildcards):
        return gpu(wildcards) * math.ceil(needs_of(wildcards.model)[rule].device / 1e6)

    def minutes(wildcards, attempt):
        done = (
            Path("results", STUDY.study).glob(finished.format(**dict(wildcards.items())))
            if finished
            else ()
        )
        try:
            measured = needs.wall_seconds(done)
        except StudyError as damage:
            sys.exit(f"error: {damage}")
        return needs.minutes(size(wildcards), tokens(wildcards), attempt, measured)

    return {
        "gpu": gpu,
        "gpu_mb": device,
        "mem_mb": host,
        "runtime": minutes,
    }


def chain_tokens(wildcards):
    """Tokens that a block of chains passes forward and back, controls included."""
    own = sampler(wildcards.model, wildcards.setting)
    return len(chains_of_block(wildcards)) * own.blocks_of_chain * STUDY.corpus.context


def sweep_sampler(model):
    """The sampler of a model's chains in the sweep, with the sweep's own settings laid over them."""
    return sampler(model, STUDY.llc.first).changed(**plain(STUDY.sweep.sampler))


def sweep_tokens(wildcards):
    """Tokens that a checkpoint's chains pass at all settings of the sweep, controls included."""
    own, grid = sweep_sampler(wildcards.model), STUDY.sweep.grid
    chains = STUDY.sweep.chains * len(grid.lr) * len(grid.gamma) * len(grid.n_beta)
    return chains * own.blocks_of_chain * STUDY.corpus.context


def block_tokens(*splits):
    """Tokens of some splits of the corpus."""
    return sum(getattr(STUDY.corpus.blocks, split) for split in splits) * STUDY.corpus.context


def evaluation_passes(count):
    """Tokens that ``count`` passes of the evaluation blocks take."""
    return lambda wildcards: count * block_tokens("evaluation")


def scheme_tokens(scheme):
    """Tokens that a scheme's job passes, as passes forward and back, of which one forward is a third."""

    def tokens(wildcards):
        own = STUDY.compression.schemes.present()[scheme]
        forward = passes(own, STUDY.compression, STUDY.corpus.blocks.evaluation)
        return forward * block_tokens("evaluation") / 3

    return tokens


def scheme_settings(scheme):
    """What decides the numbers of a scheme's job; grids and noise are too fine for bfloat16."""
    common = ("batch_size", "dense_bits", "epsilons", "mode", "error_rate")
    return lambda wildcards: canonical(
        {
            "dtype": "tf32" if MODELS[wildcards.model].dtype == "tf32" else "float32",
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
    return of_checkpoints(
        "<results>/draws/{setting}/{model}/step{step}/block{block}.parquet",
        setting=LLC_SETTINGS,
        block=BLOCKS,
    )


def restricted_chains():
    """The draws of all chains of the study's restrictions."""
    return of_checkpoints(
        "<results>/restricted/{setting}/{model}/step{step}/{restriction}/block{block}.parquet",
        setting=LLC_SETTINGS,
        restriction=RESTRICTIONS,
        block=BLOCKS,
    )


def sampled(wildcards):
    """What decides the draws of a block of chains."""
    return {
        "sampler": sampler_settings(wildcards.model, wildcards.setting),
        "chains": chains_of_block(wildcards),
        "control": config["llc"]["control"],
        "dtype": MODELS[wildcards.model].dtype,
        "memory": config["llc"]["memory"],
    }


def estimated():
    """What decides the estimates that are made from draws."""
    return {
        "gates": config["llc"]["gates"],
        "burn_in_test": config["llc"]["burn_in_test"],
        "samplers": sorted(
            (setting, model, sampler_settings(model, setting))
            for setting in LLC_SETTINGS
            for model in MODELS
        ),
    }


def declared_figures():
    """The figures of the study, except those of tables that it does not make; one line per mistake in any."""
    found = figures.declared()
    captions = workflow.current_basedir.join("../docs/captions")
    captioned = [
        one.name for one in found if workflow.sourcecache.exists(captions.join(f"{one.name}.rst"))
    ]
    try:
        figures.check(found, captioned, tables=[*gathered(), "draws"], per=PER)
    except StudyError as problems:
        sys.exit(str(problems))
    found = [one for one in found if {*TABLES, "draws"}.issuperset(one.tables)]
    # The other figures draw every model over its training, which hundreds of models of one checkpoint do not have.
    own = {table for table, theme in gathered().items() if theme == "tables.population"}
    generated = STUDY.population and STUDY.population.template
    return [one for one in found if own.intersection(one.tables)] if generated else found


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
    """The files of a figure; the report shows the drawing, with the caption that bears the figure's name."""
    files = {format: f"<results>/figures/{figure.path}.{format}" for format in ("svg", "png")}
    caption = f"../docs/captions/{figure.name}.rst"
    labels = {"figure": figure.path}
    return {
        **files,
        "svg": report(files["svg"], caption=caption, category="Figures", labels=labels),
    }


QUANTIZERS = STUDY.allocation.quantizers if STUDY.allocation else ()


def allocation_of_checkpoint():
    """What jobs of the allocation write of a checkpoint, as patterns."""
    return {
        "ladder": "<results>/allocation/{model}/step{step}/ladder.parquet",
        **{
            f"{table} {quantizer}": f"<results>/allocation/{{model}}/step{{step}}/{quantizer}/{table}.parquet"
            for table in ("tensor_errors", "frontier", "scores", "allocations")
            for quantizer in QUANTIZERS
        },
    }


def allocated(table):
    """A table of the allocation of every checkpoint; of every quantizer, where it has one."""
    own = [path for name, path in allocation_of_checkpoint().items() if name.split()[0] == table]
    return [path for pattern in own for path in of_checkpoints(pattern)]


def allocation_settings(*names):
    """What decides the numbers of a job of the allocation: the keys ``names`` of the section, and the precision."""

    def settings(wildcards):
        own = {name: config["allocation"][name] for name in names}
        return canonical({"allocation": own, "dense_bits": config["compression"]["dense_bits"]})

    return settings


def allocation_tokens(count):
    """Tokens that ``count`` passes of the calibration blocks take, as passes forward and back."""
    return lambda wildcards: count * block_tokens("calibration") // 3


def expected(wildcards):
    """The expectations of the population, as settings."""
    return canonical(plain(STUDY.population.expectations))


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
    curves = {"curves": compressed(declared.follows)["curves"]} if declared.follows else {}
    return {**(OF_CORPUS if declared.runs_model else {}), **curves}


def ruler_asks(ruler):
    """What the job of a ruler asks a cluster for."""
    own, evaluation = build_ruler(ruler, config["rulers"][ruler]), block_tokens("evaluation")

    def tokens(wildcards):
        its = MODELS[wildcards.model]
        shape = STUDY.shape(wildcards.model, needs.vocabulary(STUDY.corpus.tokenizer))
        return own.cost(shape, its.dtype, STUDY.corpus.context, evaluation).tokens

    return asks(ruler, tokens, dtype=None)


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
        return canonical({"ruler": own, "curve": curve, "dtype": MODELS[wildcards.model].dtype})

    return settings
