"""Student's interval of a mean."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student


def half_width(values: ArrayLike, confidence: float = 0.95) -> float:
    """Half the width of Student's interval of the mean of independent ``values``, (N,); NaN for fewer than two."""
    values = np.asarray(values, dtype=float)
    count = len(values)
    if count < 2:
        return np.nan
    return float(student.ppf((1 + confidence) / 2, count - 1) * values.std(ddof=1) / np.sqrt(count))
