"""Narrowing: a value of json as a value of a declared type, or none where it is no such value.

It follows the rules by which an event's payload is read (`structs`, `mending`): what would be a data error there is
none here.
"""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from operator import itemgetter
from typing import Any

from projection.lang import types as ty
from projection.lang.values.mending import (
    MisfitError,
    mend_bytes,
    mend_date,
    mend_duration,
    mend_key,
    mend_value,
    parse_timestamp,
)
from projection.lang.values.sets import as_set


def narrowed(value: Any, type_: ty.Type) -> Any:
    """The value as one of the type; None where it is none, or where it does not fit."""
    try:
        return None if value is None else _narrow(value, type_)
    except MisfitError:
        return None


def _narrow(value: Any, type_: ty.Type) -> Any:
    match type_:
        case ty.Json():
            return value
        case ty.Bool():
            return _of(value, bool)
        case ty.Int():
            return _of(value, int)
        case ty.Decimal():
            mend = mend_value(type_, {}, outside=True)
            return mend(_of(value, int, Decimal)) if mend else value
        case ty.Enum(open=False):
            if value not in type_.members:
                raise MisfitError(f"Invalid enum value {value!a:.40}")
            return _of(value, str)
        case ty.String() | ty.Enum():
            return _bounded(_of(value, str), getattr(type_, "max", None) or ty.DEFAULT_STRING)
        case ty.Bytes():
            return mend_bytes(type_.max or ty.DEFAULT_BYTES, _of(value, str))
        case ty.Date():
            return mend_date(_of(value, str))
        case ty.Timestamp():
            return parse_timestamp(_of(value, str))
        case ty.Duration():
            return mend_duration(_of(value, str))
        case ty.List():
            items = _bounded(_of(value, list), type_.max or ty.DEFAULT_CONTAINER)
            return [_narrow(item, type_.item) for item in items]
        case ty.Set():
            found = as_set(_narrow(item, type_.item) for item in _of(value, list))
            return _bounded(found, type_.max or ty.DEFAULT_CONTAINER)
        case ty.Map():
            entries = _bounded(_of(value, dict), type_.max or ty.DEFAULT_CONTAINER)
            mend = mend_key(type_.key) or partial(_narrow, type_=type_.key)
            # They come in the order of their texts: of two that are one date, the later counts.
            mended = {mend(key): _narrow(one, type_.value) for key, one in entries.items()}
            return dict(sorted(mended.items(), key=itemgetter(0)))
        case ty.Record():
            return _record(_of(value, dict), type_)
        case ty.Optional():
            return None if value is None else _narrow(value, type_.inner)
    raise AssertionError(type_)


def _of(value: Any, *kinds: type) -> Any:
    """The value, if it is of exactly one of these kinds: a bool is no int."""
    if type(value) not in kinds:
        raise MisfitError(f"Expected `{kinds[0].__name__}`, got `{type(value).__name__}`")
    return value


def _bounded(value: Any, most: int) -> Any:
    if len(value) > most:
        raise MisfitError(f"Expected a length <= {most}")
    return value


def _record(value: dict[str, Any], record: ty.Record) -> Any:
    fields: dict[str, Any] = {}
    for name, field in record.fields.items():
        found = next((value[wire] for wire in field.wires if value.get(wire) is not None), None)
        if found is not None:
            fields[name] = _narrow(found, field.type)
        elif field.required:
            raise MisfitError(f"Object missing required field `{field.wires[0]}`")
        else:
            fields[name] = None if field.default is ty.REQUIRED else field.default
    return record.made()(**fields)
