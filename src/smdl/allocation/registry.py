"""All scores, found in the modules of smdl.allocation.scores; a module's name is its score's."""

import importlib
import pkgutil
from functools import cache
from types import MappingProxyType

from smdl.allocation import scores
from smdl.allocation.score import Score
from smdl.foundation.declared import declared


@cache
def _declared() -> dict[str, type[Score]]:
    names = [info.name for info in pkgutil.iter_modules(scores.__path__)]
    return {name: declared(importlib.import_module(f"{scores.__name__}.{name}"), Score) for name in names}


SCORES = MappingProxyType(_declared())
