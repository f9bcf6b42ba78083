"""Values in a query: JSON as a value of the type that it is compared with."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from projection.lang import types as ty
from projection.lang.reporting import closest
from projection.lang.steps import tick
from projection.lang.values.mending import MisfitError, mend_json
from projection.lang.values.narrowing import narrowed
from projection.lang.values.numbers import parse_decimal
from projection.query.errors import QueryInvalidError

_WRITTEN_AS = {
    ty.Bool: "true or false",
    ty.Int: "a whole number of 64 bits",
    ty.Decimal: 'a number, or a text such as "12.50"',
    ty.String: "a text",
    ty.Bytes: "a text of base64",
    ty.Date: 'a date such as "2000-01-31"',
    ty.Timestamp: 'a time with an offset such as "2000-01-31T12:00:00Z"',
    ty.Duration: 'a duration such as "PT90S"',
    ty.Enum: "a text",
    ty.Json: "a value of JSON, at most 32 levels deep",
}


def read_value(written: Any, type_: ty.Type, pointer: str | None = None) -> Any:
    """The value of a type that JSON is, with numbers as ints and decimals.

    Raises:
        QueryInvalidError: it is none.
    """
    tick()
    found = _read(written, type_)
    if found is None:
        raise _misfit(written, type_, pointer)
    return found


def _read(written: Any, type_: ty.Type) -> Any:
    if isinstance(type_, ty.Decimal):
        type_ = ty.Decimal()  # digits behind those that the field has are no error, they only equal nothing
        if isinstance(written, str):
            return parse_decimal(written)
    try:
        plain = mend_json(written)
    except MisfitError:
        return None
    if isinstance(type_, ty.Enum) and not type_.open:
        return plain if plain in type_.members else None
    return narrowed(plain, type_)


def _misfit(written: Any, type_: ty.Type, pointer: str | None) -> QueryInvalidError:
    shown = _shown(written)
    if isinstance(type_, ty.Enum) and isinstance(written, str):
        near = closest(written, type_.members)
        hint = f'did you mean "{near}"?' if near else "there are: " + ", ".join(type_.members[:20])
        return QueryInvalidError(f"{shown} is none of the values of the field", hint=hint, pointer=pointer)
    wanted = next((text for kind, text in _WRITTEN_AS.items() if isinstance(type_, kind)), "another value")
    return QueryInvalidError(f"{shown} is no {type_}", hint=f"write {wanted}", pointer=pointer)


def _shown(written: Any) -> str:
    match written:
        case None:
            return "null"
        case bool():
            return str(written).lower()
        case int() | Decimal():
            text = str(written) if isinstance(written, Decimal) or abs(written) < 10**60 else "the number"
        case str():
            text = f'"{written}"'
        case dict():
            return "an object"
        case _:
            return "a list"
    return text if len(text) <= 80 else text[:79] + "…"
