"""All rulers, found in the modules of smdl.rulers; a module's name is its ruler's."""

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import pandas as pd

import smdl.rulers
from smdl.foundation.declared import declared
from smdl.rulers.ruler import Ruler
from smdl.tables import empty
from smdl.tables.rulers import MEASURES

# Modules of the package that are no rulers.
_FRAME = ("registry", "ruler", "settings")

GATHERED = ("checkpoints", "llc")
"""The tables of the study that rulers can read; of ``llc`` the rows whose status the study admits."""


@cache
def _declared() -> dict[str, type[Ruler]]:
    names = [info.name for info in pkgutil.iter_modules(smdl.rulers.__path__) if not info.ispkg]
    found = {name: _ruler_of(importlib.import_module(f"smdl.rulers.{name}")) for name in names if name not in _FRAME}
    # What every study has stands first in tables and figures.
    return dict(sorted(found.items(), key=lambda item: bool(item[1].tables)))


def _ruler_of(module: Any) -> type[Ruler]:
    """The one ruler that a module declares; those that it imports are others'."""
    own = declared(module, Ruler)
    if unknown := set(own.gathered) - set(GATHERED):
        raise TypeError(f"{module.__name__}: {sorted(unknown)} are none of the tables {', '.join(GATHERED)}")
    return own


RULERS = MappingProxyType(_declared())


def build(name: str, settings: dict[str, Any]) -> Ruler:
    """The ruler ``name`` with its ``settings``; KeyError where there is none, ValueError for others."""
    return RULERS[name].model_validate(settings)


def measures(names: Iterable[str], tables: Mapping[str, pd.DataFrame], admit: Iterable[str]) -> pd.DataFrame:
    """The rows of the table ``measures``: what the rulers ``names`` say of every checkpoint, from ``tables`` by name.

    An LLC whose status is not one of ``admit`` is left out.
    """
    admitted = {**tables, "llc": tables["llc"][tables["llc"]["status"].isin(admit)]}
    parts = [RULERS[name].measures(admitted) for name in names]
    if not parts:
        return empty(MEASURES)
    columns = [column.name for column in MEASURES.columns]
    rows = pd.concat(parts, ignore_index=True).reindex(columns=columns)
    return rows.assign(made_with=rows["made_with"].astype(object).fillna(""))
