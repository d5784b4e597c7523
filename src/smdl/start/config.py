"""The small config that a study begins with, as text with a word on every section."""

import textwrap
from typing import Any

import yaml

from smdl.foundation.errors import StudyError, one_line
from smdl.start.model import BYTES, Model
from smdl.start.sampler import GAMMA, N_BETA, start
from smdl.start.text import Text

BLOCKS = {"sampling": 512, "evaluation": 64, "calibration": 32}
LONGEST_CONTEXT, SHORTEST_CONTEXT = 128, 8
BATCH_SIZE, DRAWS = 8, 60
COMMENTS, WIDTH = 44, 110
# More bytes than a token of any usual vocabulary has on average.
BYTES_PER_TOKEN = 6
# The published tolerances, nats per token, and the headline's; and brought to bytes, of which a token of Pythia has 4.
TOLERANCES, HEADLINE = (0.3, 0.5, 0.7), 0.5
TOLERANCES_OF_BYTES, HEADLINE_OF_BYTES = (0.075, 0.125, 0.175), 0.125
# A regression needs three checkpoints, and the first fast descent is no part of it: the published windows leave out
# what lies before a tenth of the last step.
LEAST_IN_WINDOW, EARLY = 3, 0.1


def config_text(study: str, model: Model, text: Text, tokenizer: str, command: str) -> str:
    """The config of a first study of ``model`` on ``text``; ``command`` is what runs it.

    Raises StudyError where the text is too short for it.
    """
    context = _context(model, text, tokenizer)
    sampler = start(model.parameters)
    of_bytes = tokenizer == BYTES
    written = TEMPLATE.format(
        command=one_line(command),
        study=_plain(study),
        corpus=_keys({**text.keys, "tokenizer": tokenizer}, 2),
        context=context,
        longest=f"; the model reads up to {model.context}" if model.context else "",
        blocks=_keys(BLOCKS, 4),
        name=_plain(model.name),
        model=_keys(_model(model, sampler.half), 4),
        window=_window(model.steps),
        lr=_plain(sampler.lr),
        weights=f"{model.parameters:,}",
        n_beta=N_BETA,
        gamma=GAMMA,
        batch_size=BATCH_SIZE,
        chains_per_job=1 if sampler.half else 4,
        burn_in=sampler.burn_in,
        draws=DRAWS,
        memory="\n  memory: {second_moment: bfloat16}\t# the larger models fit in 80 GB only so" * sampler.half,
        bits=model.bits,
        epsilons=_plain(list(TOLERANCES_OF_BYTES if of_bytes else TOLERANCES)),
        unit="byte" if of_bytes else "token",
        headline=HEADLINE_OF_BYTES if of_bytes else HEADLINE,
        disk=DISK if model.place["source"] == "hub" else "",
    )
    return "".join(f"{_aligned(line)}\n" for line in written.splitlines())


def _aligned(line: str) -> str:
    """A line of the template with the comment behind its tab, which no value holds, in the comments' column."""
    value, tab, comment = line.partition("\t")
    return f"{value.ljust(COMMENTS - 2)}  {comment}" if tab else line


def _model(model: Model, half: bool) -> dict[str, Any]:
    """The keys of the model that need no comment."""
    keys = {
        **model.place,
        "parameters": model.parameters,
        "context": model.context,
        "vocabulary": model.vocabulary or None,
        "dtype": "bfloat16" if half else None,
        "steps": list(model.steps) or None,
    }
    return {key: value for key, value in keys.items() if value is not None}


def _context(model: Model, text: Text, tokenizer: str) -> int:
    """Tokens a block: a round number that the model can read and for whose blocks there is enough text."""
    blocks = sum(BLOCKS.values())
    context = min(LONGEST_CONTEXT, model.context or LONGEST_CONTEXT)
    per_block = blocks * (1 if tokenizer == BYTES else BYTES_PER_TOKEN)
    while (there := text.bytes(per_block * context)) < per_block * context:
        context //= 2
        if context < SHORTEST_CONTEXT:
            raise StudyError(
                f"--text: {text.name} has {there} bytes, too few for {blocks} blocks of {SHORTEST_CONTEXT} tokens:"
                " give more text"
            )
    return context


def _window(steps: tuple[int, ...]) -> str:
    """The line of the regression's window, which begins after the first descent where enough checkpoints do."""
    late = [step for step in steps if step >= EARLY * steps[-1]]
    inside = late if len(late) >= LEAST_IN_WINDOW else steps
    if len(inside) < LEAST_IN_WINDOW:
        return f"# window: [first, last]\t# steps of the regression, which needs {LEAST_IN_WINDOW} checkpoints"
    return f"window: [{inside[0]}, {inside[-1]}]\t# steps of the regression"


def _keys(section: dict[str, Any], indent: int) -> str:
    """Keys and values, a line each, the first one's indent left out; long lists are wrapped."""
    lines = []
    for key, value in section.items():
        line = f"{_plain(key)}: {_plain(value)}"
        # Text may hold spaces of its own.
        lines += textwrap.wrap(line, WIDTH, subsequent_indent="  ") if isinstance(value, list) else [line]
    return f"\n{' ' * indent}".join(lines)


def _plain(value: Any) -> str:
    """A value as YAML writes it on one line."""
    dumped = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=float("inf"))
    return dumped.removesuffix("...\n").strip()


DISK = """
# Downloaded checkpoints of a model on disk at once; each is deleted once it was measured.
disk:
  window: 2
"""

TEMPLATE = """\
# A first, small study, written by smdl init; it is yours to change.
#
#   {command}
#
# What is not named here has the default that docs/reference/configuration.md states. An unknown key is an error, and
# smdl check lists every mistake. The published study, with more of everything, is config.yaml of the workflow.

# Results go to results/<study>/.
study: {study}

# Seed of everything random: the same config and seed give the same numbers on the same machine.
seed: 1

# The text: cut into blocks, shuffled once, and dealt to splits that share nothing. Compare results on one text only.
corpus:
  {corpus}
  context: {context}\t# tokens per block{longest}
  # The sampler draws from the first; the loss after compression is measured on the second, and schemes that look at
  # data (gptq, wanda) take the third. More blocks give smaller errors and take longer.
  blocks:
    {blocks}

# The model and the checkpoints to study. More models are more entries here.
models:
  {name}:
    {model}
    {window}
    llc: {{lr: {lr}}}\t# of the published study, for the size nearest to {weights} weights

# The sampler around each checkpoint; from its losses comes the LLC. Compare LLCs at the same settings only. If many are
# "too noisy", take more draws; if they are "drifting", more burn_in.
llc:
  n_beta: {n_beta}\t# inverse temperature times sample size, as published
  gamma: {gamma}\t# strength of the localisation (1/weight^2), as published
  batch_size: {batch_size}\t# token blocks per minibatch
  chains: 4
  chains_per_job: {chains_per_job}\t# 1: every chain is a job of its own, for a cluster
  burn_in: {burn_in}\t# steps left out until the start is forgotten
  draws: {draws}\t# per chain; 100 were published{memory}

# What is done to the weights, and how far until the loss has risen by each tolerance. The regression that the study is
# about, critical level against LLC, is the headline's. More schemes are in config.yaml of the workflow (gptq, noise,
# prune_heads, kmeans, motifs, ...): written here, they run here too.
compression:
  batch_size: 16\t# token blocks per forward pass
  dense_bits: {bits}\t# bits of a weight that a scheme leaves alone: as it is stored
  epsilons: {epsilons}\t# tolerances, nats per {unit}
  headline: {{scheme: quantize, variant: minimised, epsilon: {headline}}}
  schemes:
    # Every weight to the nearest of n_q values in [-m, m].
    quantize:
      levels: {{first: 4, last: 65536, ratio: 1.2}}
      variants:
        minimised: {{range: minimised, scope: global, parameters: all}}\t# m minimises the loss
    # The same with a range per output channel.
    round:
      levels: {{first: 2, last: 65536, ratio: 1.2}}
      variants:
        channel: {{group: 0}}
    # The smallest weights of every matrix set to zero.
    prune:
      levels: {{first: 0, last: 1, step: 0.02}}
      variants:
        magnitude: {{score: magnitude, scope: tensor}}
    # The smallest singular values of every matrix cut.
    factorize:
      levels: {{first: 0, last: 1, step: 0.02}}
      variants:
        all layers: {{skip_ends: 0, stride: 1}}

# Other measures of complexity, laid beside the LLC: code lengths, general compressors. Those that cost most are off.
rulers:
  coding: {{tokens: 1e6}}\t# tokens of data that the weights are to pay for
  curvature: {{enabled: false}}
  bits_back: {{enabled: false}}
  bdm: {{enabled: false}}

# Are the weights what their names say? What is found is left out of the regression, and the tables say so.
audit:
  action: exclude\t# stop: the study ends at a finding
{disk}"""
