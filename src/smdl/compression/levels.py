"""The levels of a scheme: listed, or spanned by a ratio or a step."""

import numpy as np

from smdl.compression.scheme import Axis
from smdl.compression.settings import Levels, Span


def levels_of(levels: Levels, axis: Axis) -> list[float]:
    """Distinct levels from the finest to the coarsest."""
    if not isinstance(levels, Span):
        spanned = np.asarray(levels, dtype=float)
    elif levels.ratio is not None:
        spanned = levels.first * levels.ratio ** np.arange(round(levels.steps) + 1)
    else:
        spanned = levels.first + levels.step * np.arange(round(levels.steps) + 1)
    distinct = {round(level) if axis.whole else float(f"{level:.12g}") for level in spanned.tolist()}
    return sorted(distinct, reverse=axis.finer > 0)
