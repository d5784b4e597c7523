"""All model sources, found in the modules of smdl.sources; a module's name is its source's."""

import importlib
import pkgutil
from functools import cache, reduce
from operator import or_
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field, create_model

import smdl.sources
from smdl.sources.source import Source

# Modules of the package that are no sources.
_FRAME = ("registry", "source", "stored", "training", "schedule", "listing")


@cache
def _declared() -> dict[str, type[Source]]:
    names = [info.name for info in pkgutil.iter_modules(smdl.sources.__path__) if info.name not in _FRAME]
    found = {name: _source_of(importlib.import_module(f"smdl.sources.{name}")) for name in names}
    meaning = "; ".join(f"{name} - {_described(source)}" for name, source in found.items()) + "."
    return {
        name: create_model(
            source.__name__,
            __base__=source,
            __module__=source.__module__,
            __doc__=source.__doc__,
            source=(Literal[name], Field(description=meaning)),
        )
        for name, source in found.items()
    }


def _source_of(module: Any) -> type[Source]:
    """The one source that a module declares; those that it imports are others'."""
    own = [
        item
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, Source) and item.__module__ == module.__name__
    ]
    if len(own) != 1:
        raise TypeError(f"{module.__name__} declares {len(own)} sources; a module declares one subclass of Source")
    return own[0]


def _described(source: type[Source]) -> str:
    text = source.__doc__.strip().splitlines()[0].rstrip(".")
    return text[0].lower() + text[1:]


SOURCES = MappingProxyType(_declared())
"""The sources by name, each with the key ``source`` that distinguishes it from the others."""

AnyModel = Annotated[reduce(or_, SOURCES.values()), Field(discriminator="source")]
