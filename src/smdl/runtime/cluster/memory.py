"""What the jobs of a study need of a GPU's and of main memory, rule by rule, from the shapes of its models."""

from collections.abc import Iterator

from smdl.compression.memory import need_of_sweep
from smdl.llc.settings import Sampler, sampler_of
from smdl.models.shape import BYTES, Need, Shape
from smdl.rulers.curvature import second_order
from smdl.runtime.cluster.resources import gpus, vocabulary
from smdl.study.study import Study

SINGLE = BYTES["float32"]
# Vectors of the update of a step, a part of this many weights at a time.
UPDATE = 6 * SINGLE * (1 << 24)
# Token blocks on which a sweep of sampler settings takes the largest eigenvalue.
HESSIAN_BLOCKS = 8
# Matrices of the allocation: the model twice, what is passed through it, and every matrix at every number of bits.
ALLOCATION, LADDER = 5, 6


def needs(study: Study, model: str) -> dict[str, Need]:
    """By rule, what a job on a model needs; of all rules that the study has for it, and of ``sweep_chains``."""
    its, context = study.models[model], study.corpus.context
    shape = study.shape(model, vocabulary(study.corpus.tokenizer))
    evaluation = study.corpus.blocks.evaluation * context
    single, compression = SINGLE * shape.weights, study.compression
    forward = shape.passed(compression.batch_size * context, SINGLE, gradient=False)
    chain = max(
        (chain_need(study, shape, its.dtype, sampler_of(study.llc, its.llc, name)) for name in study.llc.settings),
        key=lambda need: need.device,
    )
    found = {"reference": Need(single + forward), "llc_chains": chain, "restricted_chains": chain}
    found["sweep_chains"] = Need(max(chain.device, second_order(shape, HESSIAN_BLOCKS * context, context)))
    present = compression.schemes.present()
    for scheme in its.schemes:
        found[scheme] = need_of_sweep(present[scheme].variants.values(), shape, compression.batch_size, context)
    for name, ruler in study.rulers.enabled().items():
        if ruler.tables and ruler.takes(shape.weights):
            found[name] = ruler.cost(shape, its.dtype, context, evaluation).memory
    if its.making:
        found[its.making.rule] = Need(its.making.copies * single if its.making.runs_model else 0.0)
    if study.allocation:
        copies = ALLOCATION + len(study.allocation.bits)
        found |= {"tensor_errors": Need(copies * single), "allocation": Need(copies * single)}
        found["ladder"] = Need(LADDER * single)
    return found


def chain_need(study: Study, shape: Shape, dtype: str, sampler: Sampler) -> Need:
    """A chain: weights, w*, second moment, control; of gradients the largest, or all where a minibatch is in parts."""
    memory, each = study.llc.memory, BYTES[dtype]
    anchor = min(each, BYTES[memory.anchor])
    blocks = min(sampler.batch_size, sampler.sequences_at_once or sampler.batch_size)
    vectors = each + anchor + BYTES[memory.second_moment] + each * study.llc.control
    gradients = each * (shape.weights if blocks < sampler.batch_size else shape.largest)
    computed = BYTES["bfloat16"] if memory.autocast else each
    layers = Shape(shape.weights, shape.width, 1, shape.vocabulary) if memory.checkpointing else shape
    passed = layers.passed(blocks * study.corpus.context, computed, gradient=True)
    if memory.checkpointing:
        passed += shape.layers * shape.width * blocks * study.corpus.context * computed
    return Need(vectors * shape.weights + gradients + min(UPDATE, 6 * SINGLE * shape.weights) + passed)


def too_large(study: Study) -> Iterator[str]:
    """A line for every job of the study that would not fit the memory of its GPU, and what would change that."""
    limit = study.gpu.memory
    if limit is None:
        return
    for model in study.models:
        shape = study.shape(model, vocabulary(study.corpus.tokenizer))
        for rule, need in needs(study, model).items():
            wanted = need.device / 1e9
            if wanted > limit and gpus(shape.weights) and rule not in ("sweep_chains", *_without_model(study)):
                yield (
                    f"models.{model}: {rule} needs {wanted:.0f} GB of a GPU, of which gpu.memory is {limit:g}:"
                    f" {_advice(study, model, rule)}"
                )


def _without_model(study: Study) -> list[str]:
    """The rulers that run no model, and so have no GPU."""
    return [name for name, ruler in study.rulers.enabled().items() if not ruler.runs_model]


def _advice(study: Study, model: str, rule: str) -> str:
    if rule in ("llc_chains", "restricted_chains"):
        return (
            f"lower models.{model}.llc.sequences_at_once, or set models.{model}.dtype and llc.memory.second_moment to"
            " bfloat16"
        )
    if rule == "prune_heads":
        return f"lower retrain_at_once of its variants, or leave it out of models.{model}.schemes"
    if rule in study.compression.schemes.present():
        return f"lower compression.batch_size, or leave it out of models.{model}.schemes"
    if rule == "bits_back":
        return "lower rulers.bits_back.sequences_at_once, or set its most_weights below the model's"
    if rule in study.rulers.enabled():
        return f"lower rulers.{rule}.batch_size, or set its most_weights below the model's"
    if rule == "reference":
        return "lower compression.batch_size"
    return "leave the model out of the study, or run it on GPUs of more memory"
