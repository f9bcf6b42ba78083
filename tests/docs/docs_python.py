"""What the package offers to programs in Python, with signatures: the table of docs/python.md."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

from pydantic import BaseModel

from projection.model.fields import Struct

PUBLIC = ("projection", "projection.client", "projection.testing")
# Of these classes some members alone are promised; the others are the package's own business.
_PROMISED = {
    "BackupDirectory": {"names", "of"},
    "BackupMade": set[str](),
    "AdoptCame": set[str](),
    "AdoptOrder": set[str](),
    "BackupCame": set[str](),
    "BackupOrder": set[str](),
    "Build": set[str](),
    "BuildCame": set[str](),
    "BuildState": set[str](),
    "Catalog": {"close", "open"},
    "CatalogReader": {"open"},
    "CompactOrder": set[str](),
    "DeleteOrder": set[str](),
    "DeployCame": set[str](),
    "DeployOrder": set[str](),
    "DeployedView": set[str](),
    "DropCame": set[str](),
    "DropOrder": set[str](),
    "Folded": {"gas", "given", "parked", "view", "views"},
    "Order": set[str](),
    "Projection": {"given", "load"},
    "PromoteOrder": set[str](),
    "RebuildOrder": set[str](),
    "Recipe": {"encode"},
    "RepairOrder": set[str](),
    "RetireOrder": set[str](),
    "Settings": {"load", "tenancy"},
    "Step": {"known_build"},
    "StepCame": set[str](),
    "Summary": set[str](),
    "SwitchCame": set[str](),
    "Tenancy": set[str](),
    "TenantId": set[str](),
    "ViewId": set[str](),
    "ViewType": set[str](),
}
# Nobody calls their constructors.
_MADE_BY_OTHERS = {"Catalog", "CatalogReader", "Door", "Folded", "FolderQueries", "Projection"}


def exports() -> list[tuple[str, ...]]:
    """Every public name, and the methods of every public class."""
    found: dict[str, tuple[str, ...]] = {}
    for module in PUBLIC:
        package = import_module(module)
        for name in sorted(package.__all__):
            value = getattr(package, name)
            if name.startswith("__") or any(row[0] == f"`{name}`" for row in found.values()):
                continue
            found[f"{module}.{name}"] = (f"`{name}`", f"`{module}`", _signature(value), _says(value))
            for method, function in _methods(value):
                row = (f"`{name}.{method}`", f"`{module}`", _signature(function), _says(function))
                found[f"{module}.{name}.{method}"] = row
    return list(found.values())


def _says(value: Any) -> str:
    return (inspect.getdoc(value) or "").partition("\n")[0]


def _signature(value: Any) -> str:
    if inspect.isclass(value):
        if issubclass(value, Exception):
            return f"`({value.__bases__[0].__name__})`"
        if issubclass(value, (BaseModel, Struct)):
            return ""  # its fields are described on the page of the manifest, of the settings or of queries
        fields = [f"{name}: {kind}" for name, kind in _fields(value).items() if not name.startswith("_")]
        if fields:
            return f"`{{{', '.join(fields)}}}`"
        if "__init__" not in vars(value) or value.__name__ in _MADE_BY_OTHERS:
            return ""
        value = value.__init__
    if isinstance(value, property):
        return f"`: {inspect.signature(value.fget).return_annotation}`"
    return f"`{inspect.signature(value)}`".replace("(self, ", "(").replace("(self)", "()").replace("'", "")


def _fields(kind: type) -> dict[str, Any]:
    own = inspect.get_annotations(kind)
    return {name: type_ for name, type_ in own.items() if isinstance(type_, str) and "ClassVar" not in type_}


def _methods(value: Any) -> list[tuple[str, Any]]:
    if not inspect.isclass(value) or issubclass(value, Exception):
        return []
    return [
        (name, getattr(value, name))
        for name, one in sorted(vars(value).items())
        if not name.startswith("_")
        and name in _PROMISED.get(value.__name__, {name})
        and name not in _fields(value)
        and (inspect.isfunction(one) or isinstance(one, (classmethod, staticmethod, property)))
    ]
