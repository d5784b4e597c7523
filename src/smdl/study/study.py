"""The whole config: all sections, and the checks that reach across them."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, Field, Strict, model_validator
from pydantic_core import PydanticCustomError

from smdl.allocation.settings import Allocation
from smdl.compression.settings import Compression, Schemes, check_compression
from smdl.corpus.settings import Corpus, check_corpus, check_text
from smdl.llc.settings import Llc, check_sampler, sampler_of
from smdl.models.settings import Audit
from smdl.models.shape import Shape
from smdl.rulers.settings import Rulers, check_rulers
from smdl.settings.base import LONGEST_NAME, Config, Integer, section
from smdl.sources.registry import AnyModel
from smdl.sources.source import ModelName
from smdl.study.disk import Disk, Gpu
from smdl.study.population import Population, generate, listed, read
from smdl.study.regression import Regression
from smdl.sweep.settings import Sweep, check_sweep

# Covariates that change along a run.
AT_A_STEP = ("learning_rate", "steps", "tokens")

# Names that a study may not have, with the target of the experiment (experiments/) whose results they would meet.
TAKEN = {
    "theory": "theory",
    "hinton": "hinton",
    "motifs": "motifs",
    "known_answers": "calibration",
    "calibration": "calibration",
}


def _free(name: str) -> str:
    if name in TAKEN:
        raise PydanticCustomError("text", "belongs to make {target}; take another name", {"target": TAKEN[name]})
    return name


class Study(Config):
    """A study: what is measured, on which models and text, and with which settings."""

    study: Annotated[
        str,
        Strict(),
        Field(max_length=LONGEST_NAME, pattern="^[A-Za-z0-9][A-Za-z0-9_-]*$"),
        AfterValidator(_free),
    ] = Field(description="Name of the study; its results go to results/<study>/. Letters, digits, - and _ only.")
    seed: Integer = Field(
        0,
        ge=0,
        description="Seed of everything random. The same config and seed give the same numbers on the same machine.",
    )
    corpus: Corpus = Field(
        description="The text on which models are sampled, compressed and, where the study trains them, trained."
    )
    models: dict[ModelName, AnyModel] = Field(
        description="The models, by name; those of a population's template are generated beside them."
    )
    llc: Llc = section()
    compression: Compression
    audit: Audit = section()
    disk: Disk = section()
    gpu: Gpu = section()
    sweep: Sweep = section()
    regression: Regression = section()
    rulers: Rulers = section()
    population: Population | None = None
    allocation: Allocation | None = None

    @model_validator(mode="before")
    @classmethod
    def _every_scheme(cls, raw: Any) -> Any:
        """A model that names no schemes has all of the study, in their order."""
        models, names = raw.get("models"), _names_of_schemes(raw)
        if not isinstance(models, dict) or not names:
            return raw

        def filled(model: Any) -> Any:
            return {**model, "schemes": names} if isinstance(model, dict) and "schemes" not in model else model

        raw = {**raw, "models": {name: filled(model) for name, model in models.items()}}
        if isinstance(population := raw.get("population"), dict) and "template" in population:
            raw["population"] = {**population, "template": filled(population["template"])}
        return raw

    @model_validator(mode="before")
    @classmethod
    def _generated_models(cls, raw: Any) -> Any:
        """The models of a population beside those that are listed; of two validators the later one runs first."""
        found = isinstance(raw, dict) and raw.get("population") and read(raw["population"])
        if not found or not found.template:
            return raw
        models, _ = generate(found, raw["population"]["template"])
        given = raw.get("models", {})
        if not isinstance(given, dict):
            return raw
        # All of them are there where a config is read again as it was understood.
        if (twice := sorted(set(given) & set(models))) and len(twice) < len(models):
            raise PydanticCustomError(
                "text", "models.{name}: the population has a model of that name", {"name": twice[0]}
            )
        return {**raw, "models": {**given, **models}}

    def size(self, model: str, vocabulary: int) -> int:
        """Number of weights of a model, 0 where nobody said it; a branch has those of its run."""
        return self.models[self.models[model].origin or model].size(vocabulary)

    def shape(self, model: str, vocabulary: int) -> Shape:
        """The shape of a model, as far as it is known; a branch has that of its run."""
        return self.models[self.models[model].origin or model].shape(vocabulary)

    def tokens(self, model: str) -> int:
        """Tokens that the job which makes a model's weights passes through it, at most."""
        its = self.models[model]
        return its.tokens(self.corpus.context, self.models.get(its.origin))

    def design(self) -> list[dict[str, Any]]:
        """The rows of the table ``design``: of generated models, or of all models of the config."""
        if self.population.template:
            return generate(self.population, {})[1]
        return listed({name: model.covariates for name, model in self.models.items()}, self.population.factors)

    def made_with(self, model: str, step: int) -> dict[str, float | str]:
        """The covariates of a checkpoint, as far as the config tells; those of a branch's run are its own too."""
        its = self.models[model]
        own = its.made_with(step, self.corpus.context, self.seed)
        if its.origin:
            run = self.models[its.origin].made_with(0, self.corpus.context, self.seed)
            # How far it has come is not the run's.
            own = {name: value for name, value in run.items() if name not in AT_A_STEP} | own
        return own

    def conflicts(self) -> Iterator[str]:
        """Problems that no single key shows, one line each."""
        if wrong := list(self._population_conflicts()):
            # Its models are not there, and what else would be said is about them.
            yield from wrong
            return
        if not self.models:
            yield "models: has 0 entries; at least 1"
        schemes = self.compression.schemes
        found = list(check_corpus(self.corpus))
        batches = {name: blocks for name, model in self.models.items() if (blocks := model.training_blocks)}
        yield from found or check_text(self.corpus, batches)
        for name, model in self.models.items():
            yield from model.conflicts(f"models.{name}", self.corpus, schemes)
            yield from model.origin_conflicts(f"models.{name}", self.models)
            for setting in self.llc.settings:
                key = f"models.{name}" if len(self.llc.settings) == 1 else f"models.{name}, llc.settings.{setting}"
                yield from check_sampler(key, sampler_of(self.llc, model.llc, setting), self.corpus)
        yield from check_compression(self.compression, self.corpus)
        yield from _check_headline(self)
        if self.llc.first not in self.llc.settings:
            yield f"llc.headline: no setting {self.llc.headline!r}; there are {', '.join(self.llc.settings)}"
        yield from check_rulers(self.rulers, schemes)
        yield from check_sweep(self.sweep, self.models)
        if self.allocation:
            yield from self.allocation.conflicts("allocation", self.corpus)

    def _population_conflicts(self) -> Iterator[str]:
        if self.population:
            yield from self.population.conflicts("population")
            names = self.llc.settings, self.compression.epsilons, self.compression.schemes.present()
            yield from self.population.expectations.conflicts("population.expectations", *names)


def _names_of_schemes(raw: dict[str, Any]) -> list[str]:
    compression = raw.get("compression")
    schemes = compression.get("schemes") if isinstance(compression, dict) else None
    return [name for name in schemes if name in Schemes.model_fields] if isinstance(schemes, dict) else []


def _check_headline(study: Study) -> Iterator[str]:
    scheme = study.compression.headline.scheme
    if scheme in study.compression.schemes.present() and not any(
        scheme in its.schemes for its in study.models.values()
    ):
        yield f"compression.headline.scheme: no model has {scheme!r} among its schemes"
