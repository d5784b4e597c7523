"""How figures are saved."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from smdl.figures.style import STYLE, save

LABELS = [f"bits per parameter, mask_and_survivors at {2**i}" for i in range(6)]


@pytest.mark.parametrize("first", ["svg", "png"])
def test_no_label_is_cut_whichever_format_is_first(tmp_path, first):
    """The letters of pixels are wider than those of an SVG."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(5, 3))
        axis.set_yticks(range(len(LABELS)), LABELS)
    endings = sorted(["svg", "png"], key=lambda ending: ending != first)
    save(figure, *(str(tmp_path / f"figure.{ending}") for ending in endings))
    pixels = plt.imread(tmp_path / "figure.png")[..., :3]
    assert (pixels[:, :2] == 1).all() and not (np.delete(pixels, [0, 1], axis=1) == 1).all()
