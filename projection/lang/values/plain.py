"""Plain values: programs and msgspec know `str`, `int`, `Decimal` … themselves, and none of their subclasses.

A view id, a member of an enum or a date of another library equals the plain value, and cannot be encoded. So whatever
enters a program from Python, and not from decoded JSON, is made plain here.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any


def plain_text(text: str) -> str:
    """Return the text itself as a `str`, whatever subclass of it came."""
    return text if type(text) is str else str.__str__(text)


def plain(value: Any) -> Any:
    """Return the plain value of an instance of a subclass: what encoders of JSON call for types that they do not know.

    Raises:
        TypeError: it is no kind of JSON value.
    """
    match value:
        case str():
            return plain_text(value)
        case int():
            return int(value)
        case float():
            return float(value)
        case Decimal():
            return Decimal(value)
        case date():  # a datetime, too
            return value.isoformat()
    raise TypeError(f"{type(value).__name__} is no value of JSON")
