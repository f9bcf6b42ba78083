"""The generated classes of records, with the types that msgspec decodes their JSON by.

What comes from outside is read by types that lose nothing and convert nothing: a decimal as the number that its text
says, dates and times as texts; `mending` makes the declared types of them. A view comes from the store, where this
program has put it: its records are read by their own types, in one pass in C, and nothing is left to mend. A record
that an event holds is read as what comes from outside wherever it stands.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from sys import intern
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import msgspec

from projection.lang import types as ty
from projection.lang.values.numbers import MAX_INT, MIN_INT

if TYPE_CHECKING:
    from collections.abc import Iterable


def build_structs(records: Iterable[ty.Record]) -> None:
    """Generate the class of every record, with its fields in name order."""
    records = list(records)
    mark_from_outside(record for record in records if record.kind == "event")
    for record in records:
        _build(record)


def mark_from_outside(events: Iterable[ty.Record]) -> None:
    """Remember of every record that an event holds that it comes from outside; before any class is generated."""
    for event in events:
        _mark_from_outside(event)


def _mark_from_outside(type_: ty.Type) -> None:
    match type_:
        case ty.Record(from_outside=False):
            type_.from_outside = True
            for field in type_.fields.values():
                _mark_from_outside(field.type)
        case ty.List() | ty.Set():
            _mark_from_outside(type_.item)
        case ty.Map():
            _mark_from_outside(type_.value)
        case ty.Optional():
            _mark_from_outside(type_.inner)


def _build(record: ty.Record) -> type[Any]:
    if record.struct is None:
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
        renames: dict[str, str] = {}
        for name in map(intern, sorted(record.fields)):  # msgspec finds interned names at once
            field = record.fields[name]
            own = _annotation(field.type, outside=record.from_outside)
            if name in record.asked:
                fields.append((name, Optional[own] | msgspec.UnsetType, msgspec.UNSET))  # noqa: UP045
                fields.append((presence(name), bool, False))
            elif not record.from_outside or (field.required and len(field.wires) == 1):
                fields.append((name, own))
            else:
                fields.append((name, Optional[own], None))  # noqa: UP045 - built at run time
            renames[name] = field.wires[0]
            # Further wire names are read into fields of their own, which mending empties into the first.
            for other, wire in zip(others(name, field), field.wires[1:], strict=True):
                fields.append((other, Optional[own] | msgspec.UnsetType, msgspec.UNSET))  # noqa: UP045
                renames[other] = wire
        record.struct = msgspec.defstruct(record.name, fields, rename=renames, kw_only=True, gc=False)
    return record.struct


def others(name: str, field: ty.Field) -> tuple[str, ...]:
    """The fields that take the further wire names; no program can name one so, and unset they are not encoded."""
    return tuple(f"_{position}_{name}" for position in range(1, len(field.wires)))


def presence(name: str) -> str:
    """The field that says whether an event gave another, for `has`."""
    return f"_has_{name}"


def has_field(event: Any, name: str) -> bool:
    """Whether an event has a field that its program asks for by `has`; in an upcast event, whether it is not none."""
    return bool(getattr(event, presence(name))) or getattr(event, name) is not None


def _annotation(type_: ty.Type, *, outside: bool) -> Any:
    match type_:
        case ty.Bool():
            return bool
        case ty.Int():
            return Annotated[int, msgspec.Meta(ge=MIN_INT, le=MAX_INT)]
        case ty.String():
            return Annotated[str, msgspec.Meta(max_length=type_.max or ty.DEFAULT_STRING)]
        case ty.Bytes():
            return str if outside else Annotated[bytes, msgspec.Meta(max_length=type_.max or ty.DEFAULT_BYTES)]
        case ty.Enum(open=False):
            return Literal[type_.members]
        case ty.Enum():
            return Annotated[str, msgspec.Meta(max_length=ty.DEFAULT_STRING)]
        case ty.Duration():
            return str if outside else timedelta
        case ty.Date():
            return str if outside else date
        case ty.Timestamp():
            return str if outside else datetime
        case ty.Decimal():
            return Any if outside else Decimal  # msgspec's Decimal takes texts, too
        case ty.List():
            items = list[_annotation(type_.item, outside=outside)]  # type: ignore[misc,valid-type]
            return Annotated[items, msgspec.Meta(max_length=type_.max or ty.DEFAULT_CONTAINER)]
        case ty.Set():
            item = _annotation(type_.item, outside=outside)
            return list[item] if outside else tuple[item, ...]  # type: ignore[valid-type]
        case ty.Map():
            # msgspec takes `-0` for an int's text; from outside, keys are read as `mending` has it.
            is_text = outside and isinstance(type_.key, ty.Int)
            key = str if is_text else _annotation(type_.key, outside=outside)
            value = _annotation(type_.value, outside=outside)
            return Annotated[dict[key, value], msgspec.Meta(max_length=type_.max or ty.DEFAULT_CONTAINER)]  # type: ignore[valid-type]
        case ty.Record():
            return _build(type_)
        case ty.Optional():
            return Optional[_annotation(type_.inner, outside=outside)]  # noqa: UP045 - built at run time
        case _:
            return Any
