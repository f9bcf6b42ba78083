"""Names that a package offers and reads when they are asked for: importing the package stays light."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def reader(package: str, places: Mapping[str, str]) -> Callable[[str], object]:
    """The `__getattr__` of a package whose names stand in other modules.

    Args:
        package: its name, for the message about a name that it does not have.
        places: the module of each name.
    """

    def read(name: str) -> object:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            return getattr(import_module(places[name]), name)
        except ModuleNotFoundError as error:
            from projection.extras import missing_extra  # noqa: PLC0415 - every pytest loads the package

            raise missing_extra(error) or error from None

    return read
