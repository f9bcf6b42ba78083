"""Structured filters: from their form to the same core that a condition of the language comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from projection.lang import core
from projection.lang import types as ty
from projection.lang.check.depths import MAX_DEPTH, depth
from projection.lang.check.filters import NAME, Condition, FilterExpressions
from projection.lang.check.places import Typed, form
from projection.lang.library import BUILTINS, OPERATORS
from projection.lang.run.folding import folded
from projection.lang.source import Source, Span
from projection.query.errors import QueryInvalidError, QueryLimitError
from projection.query.form import And, Comparison, Not, Or
from projection.query.paths import Each, Field, Item, Key
from projection.query.values import read_value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from projection.model.query_limits import QueryLimits
    from projection.query.form import Node, Operator
    from projection.query.paths import Step, ViewPath
    from projection.query.schema import ViewSchema

MAX_VALUES = 1_000  # of one `in`

POINTER = "/filter"
_NOWHERE = Span(0, 0)
_FALSE, _TRUE = core.Const(_NOWHERE, value=False), core.Const(_NOWHERE, value=True)
_SYMBOLS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_ORDERED: tuple[Operator, ...] = ("lt", "le", "gt", "ge")
_EQUAL: tuple[Operator, ...] = ("eq", "ne")


def structured(schema: ViewSchema, filter_: Node, limits: QueryLimits) -> Condition:
    """Check a structured filter.

    Raises:
        QueryInvalidError: it does not fit the views.
        QueryLimitError: it is too long, too deep, or compares too much.
    """
    _require_bounded(filter_, limits)
    builder = _Builder(schema)
    node = builder.node(filter_, POINTER)
    if depth({}, node) > MAX_DEPTH:
        raise _beyond("the filter nests too deeply with the paths that it follows", "filter_depth", limits.filter_depth)
    return Condition(folded(node), builder.slots)


def _require_bounded(filter_: Node, limits: QueryLimits) -> None:
    size = len(filter_.model_dump_json())
    if size > limits.filter_bytes:
        raise _beyond(f"the filter is {size:,} bytes of JSON", "filter_bytes", limits.filter_bytes)
    level, leaves, levels = [filter_], 0, 0
    while level:
        levels += 1
        leaves += sum(isinstance(one, Comparison) for one in level)
        level = [part for one in level for part in _parts(one)]
    if levels > limits.filter_depth:
        raise _beyond(f"the filter nests {levels} levels deep", "filter_depth", limits.filter_depth)
    if leaves > limits.filter_leaves:
        raise _beyond(f"the filter makes {leaves} comparisons", "filter_leaves", limits.filter_leaves)


def _beyond(message: str, limit: str, value: int) -> QueryLimitError:
    return QueryLimitError(
        f"{message}, and the limit is {value:,}", limit=limit, value=value, pointer=POINTER,
        hint="ask for less at a time; many values of one field are one `in`",
    )  # fmt: skip


def _parts(node: Node) -> Sequence[Node]:
    match node:
        case And() | Or():
            return node.parts
        case Not():
            return (node.part,)
        case Comparison():
            return ()


class _Builder:
    """Makes the core of one filter."""

    def __init__(self, schema: ViewSchema) -> None:
        self._schema = schema
        self._language = FilterExpressions(schema.scope, Source(NAME, ""), [])

    @property
    def slots(self) -> int:
        """Of the frame, so far."""
        return self._language.slots

    def node(self, node: Node, pointer: str) -> core.Core:
        """What a node comes to: true or false."""
        match node:
            case And():
                parts = [self.node(part, f"{pointer}/and/{place}") for place, part in enumerate(node.parts)]
                return _joined(parts, is_and=True)
            case Or():
                parts = [self.node(part, f"{pointer}/or/{place}") for place, part in enumerate(node.parts)]
                return _joined(parts, is_and=False)
            case Not():
                return self._not(self.node(node.part, f"{pointer}/not"))
            case Comparison():
                return self._comparison(node, pointer)

    def _not(self, node: core.Core) -> core.Core:
        return self._language.apply(OPERATORS["not"], "not", [Typed(node, ty.BOOL)], _NOWHERE).core

    def _comparison(self, comparison: Comparison, pointer: str) -> core.Core:
        path = self._schema.resolve(comparison.field, f"{pointer}/field")
        op, value = comparison.op, comparison.value
        if op == "exists" or (op in _EQUAL and value is None):
            is_there = self._at(path, lambda _found: _TRUE)
            is_wanted = op == "ne" or (op == "exists" and value is not False)
            return is_there if is_wanted else self._not(is_there)
        if op not in (taken := operators_of(path.type)):
            hint = f"there are: {', '.join(taken)}" + _way_inside(path.type)
            raise QueryInvalidError(f"`{op}` does not take {path.type}", hint=hint, pointer=f"{pointer}/op")
        test = self._test(op, path.type, value, f"{pointer}/value")
        found = self._at(path, lambda found: test(found).core)
        return self._not(found) if op == "ne" else found

    def _test(self, op: Operator, type_: ty.Type, value: Any, pointer: str) -> Callable[[Typed], Typed]:
        """The comparison of what is there with the value."""
        apply = self._language.apply
        if op == "in":
            values = Typed(core.Const(_NOWHERE, _list(value, type_, pointer)), ty.List(type_))
            return lambda found: apply(OPERATORS["in"], "in", [found, values], _NOWHERE)
        if op == "contains":
            wanted = _constant(value, _inside(type_), pointer)
            return lambda found: apply(OPERATORS["in"], "in", [wanted, found], _NOWHERE)
        if op == "starts_with":
            start = _constant(value, ty.TEXT, pointer)
            return lambda found: apply(BUILTINS["starts_with"], "starts_with", [found, start], _NOWHERE)
        if op in _ORDERED:
            other = _constant(value, ty.TEXT if isinstance(type_, ty.Enum) else type_, pointer)
            symbol = _SYMBOLS[op]
            return lambda found: apply(OPERATORS[symbol], symbol, [found, other], _NOWHERE)
        same = _constant(value, type_, pointer)
        return lambda found: self._language.same(found, same, _NOWHERE)

    def _at(self, path: ViewPath, test: Callable[[Typed], core.Core]) -> core.Core:
        """The test of what is at a path; false where nothing is; of any item, where it leads through lists."""
        if path.is_id:
            return test(Typed(core.Local(_NOWHERE, core.ID), ty.TEXT))
        return self._on(Typed(core.Local(_NOWHERE, core.VIEW), self._schema.record), path.steps, test)

    def _on(self, here: Typed, steps: Sequence[Step], test: Callable[[Typed], core.Core]) -> core.Core:
        if isinstance(here.type, ty.Optional):
            slot = self._language.new_slot()
            local = core.Local(_NOWHERE, slot)
            inside = self._on(Typed(local, here.type.inner), steps, test)
            return core.Let(
                _NOWHERE, slot, here.core, core.If(_NOWHERE, form("is_none", _NOWHERE, local), _FALSE, inside)
            )
        if not steps:
            return test(here)
        step, rest = steps[0], steps[1:]
        match step, here.type:
            case Field(), ty.Record(fields=fields):
                found = Typed(core.Get(_NOWHERE, here.core, step.name), fields[step.name].type)
            case Each(), ty.List() | ty.Set():
                slot = self._language.new_slot()
                item = self._on(Typed(core.Local(_NOWHERE, slot), here.type.item), rest, test)
                items = Typed(core.Loop(_NOWHERE, here.core, (slot,), None, item), ty.List(ty.BOOL))
                return self._language.apply(BUILTINS["any"], "any", [items], _NOWHERE).core
            case (Key(key), ty.Map()):
                found = self._entry(here, Typed(core.Const(_NOWHERE, key), here.type.key))
            case (Key(key), _):
                found = self._entry(here, Typed(core.Const(_NOWHERE, key), ty.TEXT))
            case (Item(number), _):
                found = self._entry(here, Typed(core.Const(_NOWHERE, number), ty.INT))
            case _:
                raise AssertionError(step)
        return self._on(found, rest, test)

    def _entry(self, here: Typed, key: Typed) -> Typed:
        return self._language.apply(OPERATORS["[]"], "[]", [here, key], _NOWHERE)


def _joined(parts: Sequence[core.Core], *, is_and: bool) -> core.Core:
    """All or any of the parts, from left to right, as a tree that is no deeper than it must be."""
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    left, right = _joined(parts[:half], is_and=is_and), _joined(parts[half:], is_and=is_and)
    return core.If(_NOWHERE, left, right, _FALSE) if is_and else core.If(_NOWHERE, left, _TRUE, right)


def operators_of(type_: ty.Type) -> tuple[Operator, ...]:
    """What a value of a type can be asked."""
    match type_:
        case ty.String() | ty.Enum():
            return (*_EQUAL, *_ORDERED, "in", "contains", "starts_with", "exists")
        case ty.Int() | ty.Decimal() | ty.Date() | ty.Timestamp() | ty.Duration() | ty.Bytes():
            return (*_EQUAL, *_ORDERED, "in", "exists")
        case ty.Bool():
            return (*_EQUAL, "in", "exists")
        case ty.Json():
            return (*_EQUAL, "exists")
        case ty.List(item=item) | ty.Set(item=item) if ty.is_scalar(item) or isinstance(item, ty.Bytes):
            return ("contains", "exists")
        case ty.Map():
            return ("contains", "exists")
        case _:
            return ("exists",)


def _way_inside(type_: ty.Type) -> str:
    match type_:
        case ty.List(item=ty.Record()) | ty.Record():
            return "; or go on to one of its fields"
        case ty.Map():
            return "; or go on to one of its entries"
        case ty.Json():
            return "; or narrow it in a condition of the language, as in `(narrow(f) ?? 0) > 1`"
        case _:
            return ""


def _inside(type_: ty.Type) -> ty.Type:
    """The type of what a value contains."""
    match type_:
        case ty.List(item=item) | ty.Set(item=item):
            return item
        case ty.Map(key=key):
            return key
        case _:
            return ty.TEXT


def _constant(value: Any, type_: ty.Type, pointer: str) -> Typed:
    found = read_value(value, type_, pointer)
    known = ty.String(len(found), found) if isinstance(type_, ty.String) else type_
    return Typed(core.Const(_NOWHERE, found), known)


def _list(written: Any, type_: ty.Type, pointer: str) -> list[Any]:
    if not isinstance(written, (list, tuple)):
        raise QueryInvalidError("`in` takes a list of values", pointer=pointer)
    if len(written) > MAX_VALUES:
        raise QueryInvalidError(
            f"`in` takes at most {MAX_VALUES:,} values", hint="ask in several queries", pointer=pointer
        )
    return [read_value(one, type_, f"{pointer}/{place}") for place, one in enumerate(written)]
