"""The levels of a scheme: listed, or spanned by a ratio or a step."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from smdl.compression.scheme import Axis


def levels_of(settings: Sequence[float] | dict[str, Any], axis: Axis) -> list[float]:
    """Distinct levels from the finest to the coarsest.

    ``settings`` is a list, or has the keys ``first``, ``last`` and either ``ratio`` or ``step`` of neighbours.
    """
    if not isinstance(settings, dict):
        spanned = np.asarray(settings, dtype=float)
    elif "ratio" in settings:
        steps = np.log(settings["last"] / settings["first"]) / np.log(settings["ratio"])
        spanned = settings["first"] * settings["ratio"] ** np.arange(round(steps) + 1)
    else:
        steps = (settings["last"] - settings["first"]) / settings["step"]
        spanned = settings["first"] + settings["step"] * np.arange(round(steps) + 1)
    distinct = {round(level) if axis.whole else float(f"{level:.12g}") for level in spanned.tolist()}
    return sorted(distinct, reverse=axis.finer > 0)
