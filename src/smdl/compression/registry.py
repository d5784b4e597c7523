"""All schemes, found in the modules of smdl.compression.schemes; a module's name is its scheme's."""

import importlib
import pkgutil
from functools import cache
from types import MappingProxyType
from typing import Any

from smdl.compression import schemes
from smdl.compression.scheme import Scheme
from smdl.foundation.declared import declared


@cache
def _declared() -> dict[str, type[Scheme]]:
    modules = (
        importlib.import_module(info.name) for info in pkgutil.iter_modules(schemes.__path__, f"{schemes.__name__}.")
    )
    return {module.__name__.rpartition(".")[2]: declared(module, Scheme) for module in modules}


SCHEMES = MappingProxyType(_declared())


def build(name: str, settings: dict[str, Any]) -> Scheme:
    """The scheme ``name`` with the ``settings`` of a variant; KeyError where there is none, ValueError for others."""
    return SCHEMES[name].model_validate(settings)
