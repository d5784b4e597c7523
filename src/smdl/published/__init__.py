"""Points of arXiv:2510.12077, read off its figures."""

from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).parent


def critical_bits() -> pd.DataFrame:
    """Figure 3, right: model, step, llc, critical_bits (bits at epsilon 0.5 nats), in_fit (1 inside the window)."""
    return pd.read_csv(FOLDER / "fig3_right.csv", comment="#")


def delta_loss() -> pd.DataFrame:
    """Figure 3, left, at step 90000: model, n_q, delta_loss (nats)."""
    return pd.read_csv(FOLDER / "fig3_left_step90000.csv", comment="#")
