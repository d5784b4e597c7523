"""All declared tables, found in the modules of this package and beside the rulers that write them."""

import importlib
import pkgutil

import smdl.rulers
import smdl.tables
from smdl.tables import Table


def by_theme() -> dict[str, list[Table]]:
    """The tables of each module (``tables.study``), in the order of their declaration."""
    names = [
        module.name.removeprefix("smdl.")
        for package in (smdl.tables, smdl.rulers)
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
    ]
    modules = {name: importlib.import_module(f"smdl.{name}") for name in sorted(names, key=_tables_first)}
    found = {
        name: [item for item in vars(module).values() if isinstance(item, Table)] for name, module in modules.items()
    }
    return {name: tables for name, tables in found.items() if tables}


def _tables_first(name: str) -> tuple[bool, str]:
    return not name.startswith("tables."), name


def gathered() -> dict[str, str]:
    """The theme of each table that a study has as one file, by the table's name."""
    return {table.name: theme for theme, tables in by_theme().items() for table in tables if table.gathered}


def declared(name: str) -> Table:
    """The table of that name; KeyError where there is none."""
    return {table.name: table for tables in by_theme().values() for table in tables}[name]
