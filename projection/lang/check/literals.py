"""Literals beside a value: when that value's type is the one of the literal, too."""

from __future__ import annotations

from projection.lang import types as ty
from projection.lang.syntax import nodes as syn


def place_beside(expression: syn.Expression, type_: ty.Type) -> ty.Type | None:
    """The place of what stands beside a value of this type: that type; but numbers in a literal keep their own."""
    is_literal = isinstance(expression, (syn.Braces, syn.ListOf)) and not needs_place(expression)
    return None if is_literal and _holds_ints(type_) else type_


def needs_place(literal: syn.Expression) -> bool:
    """Whether only a place tells the type of a literal: of a record, or of a map without entries."""
    match literal:
        case syn.Braces(entries=entries):
            values = [one.value for one in entries if isinstance(one, syn.KeyValue)]
            is_record = any(isinstance(one, syn.FieldValue) for one in entries)
            return not entries or is_record or any(map(needs_place, values))
        case syn.ListOf(items=(first, *_) as items):
            # Behind what has a type by itself, `{…}` is of that type.
            is_literal = isinstance(first, (syn.Braces, syn.ListOf))
            return is_literal and any(needs_place(item) for item in items if not isinstance(item, syn.Spread))
        case _:
            return False


def _holds_ints(type_: ty.Type) -> bool:
    """Whether all that a value holds, in lists and maps, are ints."""
    match type_:
        case ty.List():
            return _holds_ints(type_.item)
        case ty.Map():
            return not isinstance(type_.key, ty.Enum) and _holds_ints(type_.value)
        case _:
            return isinstance(type_, ty.Int)
