"""Check comparisons: which types compare, and with what result, does not depend on which side comes first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.lang import core
from projection.lang import diagnostics as diag
from projection.lang import types as ty
from projection.lang.check.access import Access
from projection.lang.check.branches import is_known
from projection.lang.check.literals import needs_place, place_beside
from projection.lang.check.places import Typed, form
from projection.lang.cost.costs import SHORT_TEXT
from projection.lang.library import OPERATORS
from projection.lang.syntax import nodes as syn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.lang.source import Span


class Comparisons(Access):
    """Part of the checker of one function or handler."""

    def compared(self, compare: syn.Compare) -> Typed:
        """`==`, `<`, `in` and the like."""
        if compare.operator in ("==", "!="):
            found = self.same(*self._sides(compare), compare.span)
        elif compare.operator in ("in", "not in"):
            left = self.check(compare.left)
            # Texts that are listed beside an enum are its members: `view.status in ["open", "paid"]`.
            is_listed = isinstance(left.type, ty.Enum) and isinstance(compare.right, syn.ListOf)
            right = self.check(compare.right, ty.List(left.type) if is_listed else None)
            found = self.apply(OPERATORS["in"], "in", [left, right], compare.span)
        else:
            operands = [self.check(compare.left), self.check(compare.right)]
            return self.apply(OPERATORS[compare.operator], compare.operator, operands, compare.span)
        if compare.operator in ("!=", "not in"):
            return self.apply(OPERATORS["not"], "not", [found], compare.span)
        return found

    def _sides(self, compare: syn.Compare) -> tuple[Typed, Typed]:
        """Both sides of `==`; a literal is of the type of what it is compared with: `view.lines == [{ sku: "a" }]`."""
        literals = [isinstance(side, (syn.Braces, syn.ListOf)) for side in (compare.left, compare.right)]
        needy = [needs_place(side) for side in (compare.left, compare.right)]
        if needy[0] and not needy[1] if all(literals) else literals[0]:
            right = self.check(compare.right)
            return self._beside(compare.left, right), right
        left = self.check(compare.left)
        is_beside = needy[1] if all(literals) else literals[1]
        return left, self._beside(compare.right, left) if is_beside else self.check(compare.right)

    def _beside(self, literal: syn.Expression, other: Typed) -> Typed:
        """A literal that is compared with this. Numbers need no type for that: `[1.0]` can be compared with ints."""
        if not is_known(other.type):
            return self.check(literal)
        type_ = other.type.inner if isinstance(other.type, ty.Optional) else other.type
        if isinstance(type_, ty.Set) and place_beside(literal, type_.item) is None:
            return self.as_set(self.check(literal))
        return self.check(literal, place_beside(literal, ty.loosened(type_)))

    def same(self, left: Typed, right: Typed, span: Span) -> Typed:
        """Whether two values are equal; unlike types are an error, never false."""
        for one, other in ((left, right), (right, left)):
            if isinstance(one.type, ty.Nothing):
                if not isinstance(other.type, (ty.Optional, ty.Nothing, ty.Never)):
                    what = self.schema.source.text[other.core.span.start : other.core.span.end]
                    return self.report(diag.incomparable(span, str(other.type), "none", f"`{what}` is never none"))
                return Typed(form("is_none", span, other.core), ty.BOOL)
        inner = [type_.inner if isinstance(type_, ty.Optional) else type_ for type_ in (left.type, right.type)]
        if not ty.comparable(*inner):
            for a, b in (inner, inner[::-1]):
                if isinstance(a, ty.Enum) and isinstance(b, ty.String) and b.literal is not None:
                    return self.report(diag.not_a_member(span, b.literal, a.members))
            return self.report(diag.incomparable(span, str(left.type), str(right.type)))
        nodes = (left.core, right.core)
        if any(isinstance(type_, ty.Decimal) for type_ in inner):
            nodes = (self._as_decimal(left), self._as_decimal(right))
        if all(isinstance(type_, (ty.String, ty.Enum)) for type_ in inner):
            return Typed(form(_text_equality(left.type, right.type), span, *nodes), ty.BOOL)
        return Typed(form(_equality(inner), span, *nodes), ty.BOOL)

    def _as_decimal(self, value: Typed) -> core.Core:
        match value.type:
            case ty.Int():
                return self.fit(value, ty.Decimal(0))
            case ty.Optional(inner=ty.Int()):
                return self.fit(value, ty.Optional(ty.Decimal(0)))
            case _:
                return value.core


def _equality(types: Sequence[ty.Type]) -> str:
    """The form that compares two values of these types."""
    if any(map(ty.holds_json, types)):
        return "same_json"
    if any(isinstance(type_, ty.Bytes) for type_ in types):
        return "same_bytes"
    return "same_parts" if any(isinstance(type_, (ty.Record, ty.List, ty.Set, ty.Map)) for type_ in types) else "same"


def _text_equality(left: ty.Type, right: ty.Type) -> str:
    """The form that compares two texts: the less is known of them, the more is measured."""
    if any(_is_short(type_.inner if isinstance(type_, ty.Optional) else type_) for type_ in (left, right)):
        return "same"
    return "same_text_or_none" if any(isinstance(type_, ty.Optional) for type_ in (left, right)) else "same_text"


def _is_short(type_: ty.Type) -> bool:
    if isinstance(type_, ty.Enum):
        return not type_.open and all(len(member) <= SHORT_TEXT for member in type_.members)
    return isinstance(type_, ty.String) and type_.max is not None and type_.max <= SHORT_TEXT
