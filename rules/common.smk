"""Helpers of the rules: the validated config, settings as canonical text, inputs that depend on the model."""

import json
import math
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

# Scripts find the library beside them; the Snakefile's process is told where it is.
sys.path.append(str(Path(str(workflow.current_basedir)).parent / "scripts"))

from smdl.config import validated
from smdl.errors import StudyError
from smdl.stages import stage_version

try:
    config = validated(config)
except StudyError as problems:
    raise WorkflowError(str(problems)) from None

MODELS = config["models"]
SCHEMES = config["compression"]["schemes"]
TABLES = ["checkpoints", "llc", "curves", "critical", "regressions"]
FIGURES = ["delta_loss", "critical_bits", "training", "traces", "overview", "sizes"] + [
    f"schemes/{scheme}" for scheme in SCHEMES
]
CHECKPOINTS = [(model, step) for model, its in MODELS.items() for step in its["steps"]]
BLOCKS = range(math.ceil(config["llc"]["chains"] / config["llc"]["chains_per_job"]))


def canonical(settings):
    """Settings as text in which the order of keys does not count, so that reordering reruns nothing."""
    return json.dumps(settings, sort_keys=True)


def of_source(source):
    """A regular expression for the models of one source."""
    return "|".join(model for model, its in MODELS.items() if its["source"] == source) or "none"


def of_checkpoints(pattern, **more):
    """``pattern`` filled in for every checkpoint of the study."""
    return [
        path
        for model, step in CHECKPOINTS
        for path in expand(pattern, model=model, step=step, **more)
    ]


def weights(wildcards):
    """What holds the weights of a checkpoint: one folder a training, one a download, or the user's own."""
    match MODELS[wildcards.model]["source"]:
        case "train":
            return f"<results>/trained/{wildcards.model}"
        case "hub":
            return f"<results>/downloads/{wildcards.model}/step{wildcards.step}"
        case "local":
            return MODELS[wildcards.model]["path"].format(step=wildcards.step)


def checkpoint(wildcards, input):
    """The folder of a checkpoint in Hugging Face format."""
    trained = MODELS[wildcards.model]["source"] == "train"
    return f"{input.weights}/step{wildcards.step}" if trained else str(input.weights)


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
    return {name: own[name] for name in names}


def chains_of_block(wildcards):
    """The numbers of the chains that one job samples."""
    size = config["llc"]["chains_per_job"]
    first = int(wildcards.block) * size
    return list(range(first, min(first + size, config["llc"]["chains"])))


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


def drawn(figure):
    """The files of a figure."""
    return {format: f"<results>/figures/{figure}.{format}" for format in ("svg", "png")}
