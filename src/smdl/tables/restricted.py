"""The LLC of parts of the weights, and the draws that it is computed from."""

from smdl.tables import INTEGER, TEXT, Column, Table
from smdl.tables.study import CHECKPOINT, DRAWS, LLC, SETTING

RESTRICTION = Column("restriction", TEXT, "the weights that moved, by its name under llc.restrictions")
WEIGHTS = Column("weights", INTEGER, "how many they are")
NAMED = ("model", "step", "setting", "restriction")


def _with_restriction(table: Table, without: tuple[str, ...] = ()) -> tuple[Column, ...]:
    """The columns of a table of whole models, with those of the restriction behind the ones that name a row."""
    keys = (*CHECKPOINT, SETTING.name)
    naming = [column for column in table.columns if column.name in keys]
    rest = [column for column in table.columns if column.name not in (*keys, *without)]
    return (*naming, RESTRICTION, WEIGHTS, *rest)


RESTRICTED_DRAWS = Table(
    "restricted_draws",
    "As the table draws, of chains in which the weights of a restriction move and all others stay.",
    (*NAMED, "kind", "chain", "draw"),
    _with_restriction(DRAWS),
)

LLC_RESTRICTED = Table(
    "llc_restricted",
    "The LLC of parts of the weights, all others frozen, of every checkpoint at every setting, as in the table llc.",
    NAMED,
    _with_restriction(LLC, without=("in_window", "admitted")),
    gathered=True,
)
