"""The original weights of a model, beside the compressed ones that it carries."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from smdl.foundation.errors import StudyError
from smdl.foundation.lazy import Tensor, nn
from smdl.models.views import WeightView, iterate

if TYPE_CHECKING:
    from smdl.compression.stored import Stored

# Up to this size a copy costs less than reading again; on a GPU the copy lies there.
KEPT_BYTES = {"cpu": 256 * 2**20, "cuda": 6 * 10**9}

Parameters = Literal["linear", "matrices", "all"]
"""Which weights a scheme touches: the linear maps inside the layers, all matrices (embeddings too), everything."""


class Weights:
    """The original weights of a model, which can be read while the model itself carries compressed ones.

    Those of a model that is too large for a second copy are read again from its checkpoint, a tensor at a time.
    ``dense_bits`` is the size of a weight that is left as it is. ``calibration`` are the token blocks of the schemes
    that look at data, shape (blocks, context), and ``batch_size`` how many of them are run at a time.
    """

    def __init__(
        self, model: nn.Module, dense_bits: int = 32, calibration: np.ndarray | None = None, batch_size: int = 32
    ):
        self.model = model
        self.dense_bits = dense_bits
        self.views = list(iterate(model))
        self._calibration = calibration
        self._batch_size = batch_size
        self._stored = _stored(model)
        self._originals = {view: view.current() for view in self.views if not self._on_disk(view)}
        self._cache: dict[Any, Any] = {}

    def __getitem__(self, view: WeightView) -> Tensor:
        """The original tensor of a view; not to be changed in place."""
        if self._on_disk(view):
            return self._stored.window(view.parameter, view.window).reshape(view.shape)
        return self._originals[view]

    def _on_disk(self, view: WeightView) -> bool:
        return self._stored is not None and view.parameter in self._stored

    @property
    def elements(self) -> int:
        """How many weights the model has."""
        return sum(view.elements for view in self.views)

    @property
    def calibration(self) -> np.ndarray:
        """The calibration blocks; StudyError where there are none."""
        if self._calibration is None or not len(self._calibration):
            raise StudyError("this compression scheme needs calibration blocks: give the corpus a calibration split")
        return self._calibration

    def select(self, parameters: Parameters) -> list[WeightView]:
        """The views that a scheme with the setting ``parameters`` touches."""
        return touched(self.views, parameters)

    def inputs(self, view: WeightView) -> Tensor | None:
        """E[x x^T] of the inputs x of a linear map over the calibration blocks, at the original weights.

        Shape (inputs, inputs). None for an embedding: its inputs are one-hot, so E[x x^T] is diagonal.
        """
        from smdl.compression.calibration import input_moments

        moments = self.once("inputs", lambda: input_moments(self.model, self.calibration, self._batch_size))
        moment = moments.get(view.module)
        return None if moment is None else moment.to(view.window.device)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What ``make`` returns, made once per checkpoint: for what does not depend on the level."""
        if key not in self._cache:
            self._cache[key] = make()
        return self._cache[key]

    def forget(self) -> None:
        """Drop what was made once: the next variant has its own."""
        self._cache.clear()

    def restore(self) -> None:
        """Put the originals back into the model."""
        for view in self.views:
            view.put(self[view])


def touched(views: Iterable[WeightView], parameters: Parameters) -> list[WeightView]:
    """Of the ``views`` of a model those that a scheme with the setting ``parameters`` touches."""
    wanted = {"linear": lambda v: v.is_linear, "matrices": lambda v: v.is_matrix, "all": lambda v: True}
    return [view for view in views if wanted[parameters](view)]


def _stored(model: nn.Module) -> Stored | None:
    """The checkpoint that a model was loaded from; None where there is none, or where a copy costs less."""
    from smdl.compression.stored import Stored

    parameters = list(model.parameters())
    size = sum(parameter.numel() * parameter.element_size() for parameter in parameters)
    folder = getattr(model, "name_or_path", "")
    kept = KEPT_BYTES[parameters[0].device.type]
    return Stored(model, Path(folder)) if size > kept and folder and Path(folder).is_dir() else None
