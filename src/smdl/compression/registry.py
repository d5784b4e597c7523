"""All schemes, found in the modules of smdl.compression.schemes; a module's name is its scheme's."""

import importlib
import pkgutil
from functools import cache
from types import MappingProxyType
from typing import Any

from smdl.compression import schemes
from smdl.compression.scheme import Scheme


@cache
def _declared() -> dict[str, type[Scheme]]:
    modules = (
        importlib.import_module(info.name) for info in pkgutil.iter_modules(schemes.__path__, f"{schemes.__name__}.")
    )
    return {module.__name__.rpartition(".")[2]: _scheme_of(module) for module in modules}


def _scheme_of(module: Any) -> type[Scheme]:
    """The one scheme that a module declares; those that it imports are others'."""
    own = [
        item
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, Scheme) and item.__module__ == module.__name__
    ]
    if len(own) != 1:
        raise TypeError(f"{module.__name__} declares {len(own)} schemes; a module declares one subclass of Scheme")
    return own[0]


SCHEMES = MappingProxyType(_declared())


def build(name: str, settings: dict[str, Any]) -> Scheme:
    """The scheme ``name`` with the ``settings`` of a variant; KeyError where there is none, ValueError for others."""
    return SCHEMES[name].model_validate(settings)
