"""The configuration: its schema, its defaults, and the checks that reach across keys.

Every problem is found at once and told in one line: the key, the value, and what would be right.
"""

import difflib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from smdl.architectures import objections, read_config
from smdl.errors import StudyError

SCHEMA = yaml.safe_load((Path(__file__).parent / "config.schema.yaml").read_text())

# EleutherAI/pythia, README: 154 checkpoints a model.
PYTHIA_STEPS = {0, *(2**i for i in range(10)), *range(1000, 143001, 1000)}

# Least and largest level of every scheme, and what the levels are.
_WHOLE = (2, 65536, "levels are numbers of values, from 2 to 65536")
_FRACTION = (0, 1, "levels are fractions, from 0 to 1")
LEVELS = {
    **dict.fromkeys(("quantize", "round", "kmeans", "gptq", "sequence"), _WHOLE),
    **dict.fromkeys(("factorize", "prune", "prune_heads"), _FRACTION),
    "noise": (1e-9, math.inf, "levels are scales above 0"),
    "motifs": (1e-9, 1, "levels are capacities above 0, at most 1"),
}

KEYS_OF_SOURCE = {"hub": {"repo"}, "local": {"path"}, "train": {"architecture", "training"}}


def validated(raw: dict[str, Any]) -> dict[str, Any]:
    """The configuration with numbers converted and defaults filled in.

    Raises StudyError, a line a problem, where anything is wrong with it.
    """
    config = _prepared(raw, SCHEMA)
    _fill_in_models(config)
    errors = sorted(Draft202012Validator(SCHEMA).iter_errors(config), key=lambda error: [str(p) for p in error.path])
    problems = [line for error in errors for line in _explain(error)]
    if not problems:
        problems = list(_cross_checks(config))
    if problems:
        raise StudyError("\n".join(["the configuration is not right:", *(f"  {line}" for line in problems)]))
    return config


def _prepared(value: Any, schema: dict[str, Any]) -> Any:
    """A copy of ``value`` with defaults filled in, and with the numbers that YAML reads as text (1e-4) converted."""
    if isinstance(value, dict):
        known = schema.get("properties", {})
        other = schema.get("additionalProperties")
        other = other if isinstance(other, dict) else {}
        defaults = {key: sub["default"] for key, sub in known.items() if "default" in sub and key not in value}
        return {key: _prepared(item, known.get(key, other)) for key, item in {**value, **defaults}.items()}
    if isinstance(value, list):
        return [_prepared(item, schema.get("items", {})) for item in value]
    if schema.get("type") in ("number", "integer"):
        return _number(value, schema["type"])
    return value


def _fill_in_models(config: Any) -> None:
    """Defaults that hang on other keys: a model of one checkpoint has step 0, and every model all schemes.

    What does not have the form of a config is left for the schema to judge.
    """
    sections = [config.get(name) if isinstance(config, dict) else None for name in ("models", "compression")]
    models, compression = (section if isinstance(section, dict) else {} for section in sections)
    for model in models.values():
        if isinstance(model, dict):
            if single(model):
                model.setdefault("steps", [0])
            if isinstance(compression.get("schemes"), dict):
                model.setdefault("schemes", list(compression["schemes"]))


def single(model: dict[str, Any]) -> bool:
    """Whether a model is one checkpoint: nothing in its folder's path, or its branch's name, stands for the step."""
    places = {"local": "path", "hub": "revision"}
    return any(
        model.get("source") == source and place in model and "{step}" not in str(model[place])
        for source, place in places.items()
    )


def _number(value: Any, kind: str) -> Any:
    """4.0 where an integer is needed becomes 4, "1e-4" becomes 0.0001; anything else stays for the schema to judge."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return value
    if kind == "integer" and isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return int(value)
    return value


def _explain(error: ValidationError) -> Iterator[str]:
    """One line a problem of a schema error."""
    key = ".".join(str(part) for part in error.path) or "config"
    about = error.schema.get("description", "")
    about = f" ({about})" if about else ""
    wanted, value = error.validator_value, error.instance
    match error.validator:
        case "additionalProperties":
            known = sorted(error.schema["properties"])
            for name in sorted(set(value) - set(known), key=str):
                near = difflib.get_close_matches(str(name), known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
                yield f"{key}: unknown key {name!r}; {hint}"
        case "required":
            missing = error.message.split("'")[1]
            yield f"{key}: the key {missing!r} is missing{_describe(error.schema['properties'].get(missing, {}))}"
        case "type":
            yield f"{key}: {value!r} is not of type {wanted}{about}"
        case "enum":
            yield f"{key}: {value!r} is not one of {', '.join(map(str, wanted))}{about}"
        case "minimum":
            yield f"{key}: {value!r} is too small; at least {wanted}{about}"
        case "exclusiveMinimum":
            yield f"{key}: {value!r} is too small; more than {wanted}{about}"
        case "exclusiveMaximum":
            yield f"{key}: {value!r} is too large; less than {wanted}{about}"
        case "minItems" | "minProperties":
            yield f"{key}: has {len(value)} entries; at least {wanted}{about}"
        case "maxItems":
            yield f"{key}: has {len(value)} entries; at most {wanted}{about}"
        case "uniqueItems":
            yield f"{key}: an entry stands twice in {value!r}"
        case "pattern":
            yield f"{key}: {value!r} does not have the form {wanted}{about}"
        case _:
            yield f"{key}: {error.message}"


def _describe(schema: dict[str, Any]) -> str:
    return f" ({schema['description']})" if "description" in schema else ""


def _cross_checks(config: dict[str, Any]) -> Iterator[str]:
    """Problems that no single key shows; the config has passed the schema."""
    yield from _check_corpus(config["corpus"])
    for name, model in config["models"].items():
        yield from _check_source(f"models.{name}", model)
        yield from _check_steps(f"models.{name}", model)
        yield from _check_architecture(f"models.{name}", model)
        yield from _check_schemes(f"models.{name}.schemes", model["schemes"], config)
        yield from _check_constraint(f"models.{name}.constraint", model, config["compression"]["schemes"])
        yield from _check_context(f"models.{name}", model, config["corpus"])
        yield from _check_sampler(f"models.{name}", {**config["llc"], **model.get("llc", {})}, config["corpus"])
    yield from _check_headline(config["compression"], config["models"])
    yield from _check_lengths(config["coding"]["lengths"], config["compression"]["schemes"])
    for name, scheme in config["compression"]["schemes"].items():
        yield from _check_levels(f"compression.schemes.{name}.levels", name, scheme["levels"])
        for variant, own in scheme["variants"].items():
            yield from _check_variant(f"compression.schemes.{name}.variants.{variant}", own, config["corpus"])


def _check_corpus(corpus: dict[str, Any]) -> Iterator[str]:
    needed = {"package": "name", "local": "path", "hub": "repo"}[corpus["source"]]
    if needed not in corpus:
        yield f"corpus: the key {needed!r} is missing; source {corpus['source']} needs it"
    if "path" in corpus and not Path(corpus["path"]).is_dir():
        yield f"corpus.path: {corpus['path']!r} is not a folder"
    named = corpus["source"] == "hub" and corpus["tokenizer"].count("/") == 1
    if corpus["tokenizer"] != "bytes" and not named and not Path(corpus["tokenizer"]).is_file():
        yield f"corpus.tokenizer: {corpus['tokenizer']!r} is neither bytes nor a tokenizer.json file"


def _check_source(key: str, model: dict[str, Any]) -> Iterator[str]:
    source = model["source"]
    for name in sorted(KEYS_OF_SOURCE[source] - set(model)):
        yield f"{key}: the key {name!r} is missing; source {source} needs it"
    for other, names in KEYS_OF_SOURCE.items():
        for name in sorted(names & set(model)):
            if other != source:
                yield f"{key}.{name}: belongs to source {other}, but the source is {source}"
    if source == "train" and "architecture" in model:
        shape = model["architecture"]
        if shape["hidden"] % shape["heads"]:
            yield f"{key}.architecture.heads: {shape['heads']} does not divide hidden, {shape['hidden']}"


def _check_steps(key: str, model: dict[str, Any]) -> Iterator[str]:
    if "steps" not in model:
        yield f"{key}: the key 'steps' is missing (Training steps of the checkpoints to study.)"
        return
    steps = model["steps"]
    if single(model) and len(steps) > 1:
        place = "path" if model["source"] == "local" else "revision"
        yield (
            f"{key}.steps: {steps} are {len(steps)} steps, but without {{step}} in its {place}, {model[place]!r},"
            " the model is one checkpoint"
        )
    if single(model):
        if model["source"] == "local" and not Path(model["path"]).is_dir():
            yield f"{key}.path: {model['path']!r} is not a folder"
    else:
        for step in steps:
            if not _has_step(model, step):
                yield f"{key}.steps: the model has no checkpoint of step {step}{_known_steps(model)}"
    first, last = model.get("window", (min(steps), max(steps)))
    inside = [step for step in steps if first <= step <= last]
    if "window" in model and len(inside) < 3:
        yield f"{key}.window: [{first}, {last}] holds {len(inside)} of the model's steps; a regression needs 3"


def _check_architecture(key: str, model: dict[str, Any]) -> Iterator[str]:
    """Compression can handle every checkpoint on this disk; those of a hub are looked at when they are listed."""
    if model["source"] != "local" or "path" not in model:
        return
    folders = dict.fromkeys(model["path"].format(step=step) for step in model.get("steps", []))
    lines = {}
    for folder in filter(lambda folder: Path(folder).is_dir(), folders):
        try:
            found = [f"{folder}/config.json: {line}" for line in objections(read_config(folder), model["schemes"])]
        except StudyError as error:
            found = [str(error)]
        # All steps of a model are of one kind: told once.
        lines |= {line.removeprefix(folder): line for line in found}
    yield from (f"{key}: {line}" for line in lines.values())


def _check_schemes(key: str, chosen: list[str], config: dict[str, Any]) -> Iterator[str]:
    for name in chosen:
        if name not in config["compression"]["schemes"]:
            yield f"{key}: {name!r} is not one of {', '.join(config['compression']['schemes'])}"


def _has_step(model: dict[str, Any], step: int) -> bool:
    match model["source"]:
        case "hub":
            return not model.get("repo", "").startswith("EleutherAI/pythia") or step in PYTHIA_STEPS
        case "local":
            return "path" not in model or Path(model["path"].format(step=step)).is_dir()
        case _:
            return "training" not in model or step <= model["training"]["steps"]


def _known_steps(model: dict[str, Any]) -> str:
    match model["source"]:
        case "hub":
            return "; Pythia has 0, powers of 2 up to 512, and every 1000 up to 143000"
        case "local":
            return f"; there is no folder {model['path']}"
        case _:
            return f"; its training ends at step {model['training']['steps']}"


def _check_context(key: str, model: dict[str, Any], corpus: dict[str, Any]) -> Iterator[str]:
    if "context" in model and corpus["context"] > model["context"]:
        yield f"corpus.context: {corpus['context']} tokens are more than {key}.context, {model['context']}"


def _check_sampler(key: str, llc: dict[str, Any], corpus: dict[str, Any]) -> Iterator[str]:
    if corpus["blocks"]["sampling"] < llc["batch_size"]:
        yield (
            f"corpus.blocks.sampling: {corpus['blocks']['sampling']} blocks are fewer than"
            f" a minibatch of {key}, {llc['batch_size']}"
        )
    stability = llc["lr"] * llc["gamma"] / (2 * llc["eps_rms"])
    if stability >= 2:
        yield (
            f"{key}: lr gamma / (2 eps_rms) is {stability:.3g}, and the localisation is stable below 2 only:"
            f" lower llc.lr ({llc['lr']:g}) or llc.gamma ({llc['gamma']:g})"
        )


def _check_levels(key: str, scheme: str, levels: list[float] | dict[str, float]) -> Iterator[str]:
    """A span is whole, and every level is one that its scheme has."""
    if isinstance(levels, dict) and not {"first", "last"} < set(levels):
        yield f"{key}: {levels!r} is not a span; give first, last, and either ratio or step"
        return
    ends = [levels["first"], levels["last"]] if isinstance(levels, dict) else [min(levels), max(levels)]
    if ends[0] >= ends[1]:
        yield f"{key}: first, {ends[0]}, is not below last, {ends[1]}"
    low, high, what = LEVELS[scheme]
    if ends[0] < low or ends[1] > high:
        yield f"{key}: {ends[0]} to {ends[1]}; {what}"
    if ends[0] == 0 and isinstance(levels, dict) and "ratio" in levels:
        yield f"{key}: levels in a ratio cannot begin at 0"


def _check_variant(key: str, own: dict[str, Any], corpus: dict[str, Any]) -> Iterator[str]:
    """A variant that looks at data has calibration blocks to look at."""
    if not corpus["blocks"]["calibration"]:
        for place, _ in filter(lambda part: _looks_at_data(part[1]), _parts(key, own)):
            yield f"corpus.blocks.calibration: is 0, but {place} needs calibration blocks"


def _parts(key: str, own: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The settings of a variant under their key, and of every scheme within it."""
    yield key, own
    for part in ("first", "second"):
        for name, settings in own.get(part, {}).items():
            yield from _parts(f"{key}.{part}.{name}", settings)


def _looks_at_data(own: dict[str, Any]) -> bool:
    """Whether a scheme with these settings needs calibration blocks."""
    return any(
        (
            own.get("score") in ("wanda", "output_norm"),
            own.get("weighting") == "activations",
            own.get("retrain_steps", 0) > 0,
            "damping" in own and "weighting" not in own,
        )
    )


def _check_constraint(key: str, model: dict[str, Any], schemes: dict[str, Any]) -> Iterator[str]:
    constraint = model.get("constraint")
    if constraint is None:
        return
    if model["source"] != "train":
        yield f"{key}: belongs to source train, but the source is {model['source']}"
    if constraint["scheme"] not in schemes:
        yield f"{key}.scheme: {constraint['scheme']!r} is not one of {', '.join(schemes)}"
    elif constraint["variant"] not in (variants := schemes[constraint["scheme"]]["variants"]):
        yield f"{key}.variant: {constraint['variant']!r} is not one of {', '.join(variants)}"
    else:
        own = [settings for _, settings in _parts("", variants[constraint["variant"]])]
        if any(settings.get("range") == "minimised" for settings in own):
            yield (
                f"{key}.variant: {constraint['variant']!r} chooses m by the loss, and training cannot;"
                " take range maximum"
            )
        if any(_looks_at_data(settings) for settings in own):
            yield (
                f"{key}.variant: {constraint['variant']!r} needs calibration blocks, and training has none;"
                " take a variant that looks at weights alone"
            )


def _check_lengths(lengths: dict[str, Any], schemes: dict[str, Any]) -> Iterator[str]:
    variants = schemes.get("quantize", {}).get("variants", {})
    if lengths["enabled"] and lengths["variant"] not in variants:
        listed = ", ".join(variants) or "none, as the scheme is not there; set coding.lengths.enabled to false"
        yield f"coding.lengths.variant: {lengths['variant']!r} is not a variant of the scheme quantize: {listed}"


def _check_headline(compression: dict[str, Any], models: dict[str, Any]) -> Iterator[str]:
    headline, schemes = compression["headline"], compression["schemes"]
    if headline["scheme"] not in schemes:
        yield f"compression.headline.scheme: {headline['scheme']!r} is not one of {', '.join(schemes)}"
    elif headline["variant"] not in (variants := schemes[headline["scheme"]]["variants"]):
        yield f"compression.headline.variant: {headline['variant']!r} is not one of {', '.join(variants)}"
    elif not any(headline["scheme"] in model["schemes"] for model in models.values()):
        yield f"compression.headline.scheme: no model has {headline['scheme']!r} among its schemes"
    if headline["epsilon"] not in compression["epsilons"]:
        listed = ", ".join(map(str, compression["epsilons"]))
        yield f"compression.headline.epsilon: {headline['epsilon']} is not one of epsilons, {listed}"
