"""Bounds: what every view that a filter takes must fulfil, read off its core; what an index can be used for.

They may let through more than the filter does, and never less. Both forms of a filter come to the same core, so both
have the same bounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from projection.lang import core
from projection.query.form import ID

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

BoundOperator = Literal["eq", "in", "lt", "le", "gt", "ge", "starts_with"]

_COMPARISONS: dict[str, BoundOperator] = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
_SAME = frozenset({"same", "same_text", "same_text_or_none"})
_MIRRORED: dict[BoundOperator, BoundOperator] = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}
_UNCHANGED = frozenset({"as_decimal", "as_scaled", "padded", "asserted"})  # what comes of them equals their operand


class Bound(NamedTuple):
    """One condition on what is at a path of fields.

    Args:
        path: the names of the fields, as the keys of indexes have them; `("$id",)` for the view's id.
        op: how what is there compares with the value.
        value: of the path's type, but numbers may be ints or decimals of any scale; of `in`, a tuple of values.
        is_multi: whether the path leads through lists, and one item that fulfils it is enough: two such bounds of one
            path may be fulfilled by different items.
    """

    path: tuple[str, ...]
    op: BoundOperator
    value: Any
    is_multi: bool


class _At(NamedTuple):
    """Where a computation leads to in the view."""

    path: tuple[str, ...]
    is_multi: bool


def bounds_of(node: core.Core) -> tuple[Bound, ...]:
    """The bounds of a condition, in the order of their place in it; each is there once."""
    known = {core.VIEW: _At((), is_multi=False), core.ID: _At((ID,), is_multi=False)}
    return tuple(dict.fromkeys(_required(node, known)))


def _required(node: core.Core, known: Mapping[int, _At]) -> Iterator[Bound]:
    """What must hold where the node is true; `known` tells what the slots hold."""
    match node:
        case core.If(no=core.Const(value=False)):
            yield from _required(node.condition, known)
            yield from _required(node.yes, known)
        case core.If(yes=core.Const(value=False)):
            yield from _required(node.no, known)
        case core.If(yes=core.Const(value=True)):
            yield from _alternatives([*_required(node.condition, known)], [*_required(node.no, known)])
        case core.Let():
            at = _at(node.value, known)
            yield from _required(node.body, known if at is None else {**known, node.slot: at})
        case core.Op():
            yield from _operation(node, known)
        case core.Get() | core.Local():
            yield from _flag(node, known, value=True)


def _flag(node: core.Core, known: Mapping[int, _At], *, value: bool) -> Iterator[Bound]:
    at = _at(node, known)
    if at is not None and at.path:
        yield Bound(at.path, "eq", value, at.is_multi)


def _alternatives(one: list[Bound], other: list[Bound]) -> Iterator[Bound]:
    """What must hold where one of two conditions does: of the same path, one of several values."""
    others = _values(other)
    for (path, is_multi), values in _values(one).items():
        if (path, is_multi) in others:
            yield Bound(path, "in", values + others[path, is_multi], is_multi)


def _values(bounds: Sequence[Bound]) -> dict[tuple[tuple[str, ...], bool], tuple[Any, ...]]:
    """The values that one bound leaves of each path that has one."""
    return {
        (bound.path, bound.is_multi): bound.value if bound.op == "in" else (bound.value,)
        for bound in bounds
        if bound.op in ("eq", "in")
    }


def _operation(node: core.Op, known: Mapping[int, _At]) -> Iterator[Bound]:
    name, operands = node.operation.name, node.operands
    if name == "any" and isinstance(operands[0], core.Loop):
        yield from _any(operands[0], known)
        return
    if name == "not":
        yield from _flag(operands[0], known, value=False)
    if len(operands) != 2:
        return
    left, right = operands
    at, value = _at(left, known), _constant(right)
    if name == "in":
        yield from _membership(node.operation.signature, left, right, known)
    elif name in _COMPARISONS or name in _SAME:
        op: BoundOperator = _COMPARISONS.get(name, "eq")
        if at is None:  # the other way round
            at, value, op = _at(right, known), _constant(left), _MIRRORED.get(op, op)
        if at is not None and at.path and value is not None:
            yield Bound(at.path, op, value, at.is_multi)
    elif name == "starts_with" and at is not None and at.path and isinstance(value, str) and value:
        yield Bound(at.path, "starts_with", value, at.is_multi)


def _membership(signature: str, left: core.Core, right: core.Core, known: Mapping[int, _At]) -> Iterator[Bound]:
    """`x in [1, 2]`; and `1 in xs`, of which an index has an entry for each item."""
    if not signature.startswith("E, "):  # neither a part of a text nor a key of a map has an entry
        return
    at, value = _at(left, known), _constant(right)
    if at is not None and at.path and value is not None:
        yield Bound(at.path, "in", tuple(value), at.is_multi)
    at, value = _at(right, known), _constant(left)
    if at is not None and at.path and value is not None:
        yield Bound(at.path, "eq", value, is_multi=True)


def _any(loop: core.Loop, known: Mapping[int, _At]) -> Iterator[Bound]:
    """What one item must fulfil."""
    at = _at(loop.source, known)
    if at is None or len(loop.slots) != 1:
        return
    inside = {**known, loop.slots[0]: _At(at.path, is_multi=True)}
    for condition in (loop.condition, loop.body):
        if condition is not None:
            yield from _required(condition, inside)


def _at(node: core.Core, known: Mapping[int, _At]) -> _At | None:
    match node:
        case core.Local():
            return known.get(node.slot)
        case core.Get():
            base = _at(node.base, known)
            return None if base is None else _At((*base.path, node.field), base.is_multi)
        case core.Op() if node.operation.name in _UNCHANGED:
            return _at(node.operands[0], known)
        case _:
            return None


def _constant(node: core.Core) -> Any:
    return node.value if isinstance(node, core.Const) else None
