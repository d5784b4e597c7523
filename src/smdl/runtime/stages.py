"""The version of every stage whose numbers cost time.

Snakemake does not see edits of imported modules. So each expensive rule carries its stage's version as a parameter:
raise it when the numbers change, and only what depends on them runs again. tests/test_stages.py compares the code that
each stage's script reaches with tests/stages.json, and fails when it changed while the version stayed.
"""

STAGES = {
    "corpus": 2,
    "reference": 3,
    "audit": 2,
    "llc": 8,
    "known_answers": 3,
    "sweep": 6,
    "compress": 3,
    "gather": 6,
    "figures": 4,
    "theory": 1,
    "rulers": 1,
    "population": 1,
    "hinton": 1,
    "allocation": 2,
    "motifs": 1,
    "report": 5,
}


def stage_version(stage: str) -> int:
    """The current version of ``stage``; KeyError where there is no such stage."""
    return STAGES[stage]
