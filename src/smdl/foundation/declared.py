"""What a module declares by one class of its own."""

from types import ModuleType
from typing import TypeVar

Kind = TypeVar("Kind")


def declared(module: ModuleType, kind: type[Kind]) -> type[Kind]:
    """The one subclass of ``kind`` that a module declares, those that it imports being others'; TypeError for more."""
    own = [
        item
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, kind) and item.__module__ == module.__name__
    ]
    if len(own) != 1:
        raise TypeError(f"{module.__name__} declares {len(own)} subclasses of {kind.__name__}; a module declares one")
    return own[0]
