"""The experiments, found in the packages beside this module: each has ``settings`` with its config, and ``tables``."""

import importlib
import pkgutil
from types import ModuleType

import smdl.experiments
from smdl.settings.base import Config
from smdl.tables import Table

NAMES = sorted(found.name for found in pkgutil.iter_modules(smdl.experiments.__path__) if found.ispkg)


def config_of(name: str) -> type[Config]:
    """The config of an experiment."""
    (found,) = (
        kind
        for kind in vars(_module(name, "settings")).values()
        if isinstance(kind, type) and issubclass(kind, Config) and kind is not Config
    )
    return found


def tables_of(name: str) -> list[Table]:
    """The tables of an experiment, in the order of their declaration."""
    return [item for item in vars(_module(name, "tables")).values() if isinstance(item, Table)]


def _module(name: str, part: str) -> ModuleType:
    return importlib.import_module(f"smdl.experiments.{name}.{part}")
