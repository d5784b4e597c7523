"""All scores, found in the modules of smdl.allocation.scores; a module's name is its score's."""

import importlib
import pkgutil
from functools import cache
from types import MappingProxyType
from typing import Any

from smdl.allocation import scores
from smdl.allocation.score import Score


@cache
def _declared() -> dict[str, type[Score]]:
    names = [info.name for info in pkgutil.iter_modules(scores.__path__)]
    return {name: _score_of(importlib.import_module(f"{scores.__name__}.{name}")) for name in names}


def _score_of(module: Any) -> type[Score]:
    own = [
        item
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, Score) and item.__module__ == module.__name__
    ]
    if len(own) != 1:
        raise TypeError(f"{module.__name__} declares {len(own)} scores; a module declares one subclass of Score")
    return own[0]


SCORES = MappingProxyType(_declared())
