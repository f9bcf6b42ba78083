"""Bounds: what every view that a filter takes must fulfil, read off its core; what an index can be used for.

They may let through more than the filter does, and never less. Both forms of a filter come to the same core, so both
have the same bounds.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from projection.lang import core
from projection.lang.steps import tick
from projection.query.form import ID

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

BoundOperator = Literal["eq", "in", "lt", "le", "gt", "ge", "starts_with"]

_COMPARISONS: dict[str, BoundOperator] = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
_SAME = frozenset({"same", "same_text", "same_text_or_none", "same_bytes"})
_MIRRORED: dict[BoundOperator, BoundOperator] = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}
_CONVERSIONS = frozenset({"as_decimal", "as_scaled", "padded"})  # what comes of them equals their operand


class Bound(NamedTuple):
    """One condition on what is at a path of fields; where nothing is, it is not fulfilled.

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


class Bounds(NamedTuple):
    """The bounds of a filter, in the order of their place in it; each is there once.

    Where they are exact, the filter takes whatever fulfils all of them, and fails on no view.
    """

    bounds: tuple[Bound, ...]
    is_exact: bool


class _At(NamedTuple):
    """Where a computation leads to in the view."""

    path: tuple[str, ...]
    is_multi: bool


NOTHING = Bounds((), is_exact=False)


def bounds_of(node: core.Core) -> Bounds:
    """The bounds of a condition."""
    return _required(node, {core.VIEW: _At((), is_multi=False), core.ID: _At((ID,), is_multi=False)})


def _required(node: core.Core, known: Mapping[int, _At]) -> Bounds:
    """What holds where the node is true; `known` tells what slots hold."""
    tick()
    match node:
        case core.Const(value=True):
            return Bounds((), is_exact=True)
        case core.If(no=core.Const(value=False)):
            return both([_required(part, known) for part in _conditions(node, is_and=True)])
        case core.If(yes=core.Const(value=False)):
            rest = _required(node.no, known)
            return rest._replace(is_exact=rest.is_exact and _asks_inside(rest, node.condition, known))
        case core.If(yes=core.Const(value=True)):
            return either([_required(part, known) for part in _conditions(node, is_and=False)])
        case core.Let():
            if (at := _at(node.value, known)) is None:  # and it may fail
                return _required(node.body, known)._replace(is_exact=False)
            return _required(node.body, {**known, node.slot: at})
        case core.Op():
            return _operation(node, known)
        case core.Get() | core.Local():
            return _bound(_at(node, known), "eq", value=True)
        case _:
            return NOTHING


def _conditions(node: core.Core, *, is_and: bool) -> Iterator[core.Core]:
    """The conditions that `and` or `or` join, in order, however they are nested: all are then looked at together."""
    waiting = [node]
    while waiting:
        match waiting.pop():
            case core.If(condition=first, yes=second, no=core.Const(value=False)) if is_and:
                waiting += [second, first]
            case core.If(condition=first, yes=core.Const(value=True), no=second) if not is_and:
                waiting += [second, first]
            case one:
                yield one


def _asks_inside(found: Bounds, condition: core.Core, known: Mapping[int, _At]) -> bool:
    """Whether a condition says that nothing is where one of the bounds leads: who fulfils that need not be told so."""
    if not isinstance(condition, core.Op) or condition.operation.name != "is_none":
        return False
    at = _at(condition.operands[0], known)
    return at is not None and any(bound.path[: len(at.path)] == at.path for bound in found.bounds)


def both(parts: Sequence[Bounds]) -> Bounds:
    """What holds where all of some conditions do."""
    found = dict.fromkeys(chain.from_iterable(part.bounds for part in parts))
    return Bounds(tuple(found), all(part.is_exact for part in parts))


def either(parts: Sequence[Bounds]) -> Bounds:
    """What holds where one of some conditions does: of the same path, one of several values."""
    if len(parts) == 1:
        return parts[0]
    first, *others = map(_values, parts)
    bounds = tuple(
        Bound(path, "in", tuple(chain(values, *(other[path, is_multi] for other in others))), is_multi)
        for (path, is_multi), values in first.items()
        if all((path, is_multi) in other for other in others)
    )
    is_exact = len(bounds) == 1 and all(part.is_exact and len(part.bounds) == 1 for part in parts)
    return Bounds(bounds, is_exact)


def _values(found: Bounds) -> dict[tuple[tuple[str, ...], bool], tuple[Any, ...]]:
    """The values that one bound leaves of each path that has such a bound."""
    return {
        (bound.path, bound.is_multi): bound.value if bound.op == "in" else (bound.value,)
        for bound in found.bounds
        if bound.op in ("eq", "in")
    }


def _operation(node: core.Op, known: Mapping[int, _At]) -> Bounds:
    name, operands = node.operation.name, node.operands
    if name == "any" and isinstance(operands[0], core.Loop):
        return _any(operands[0], known)
    if name == "not":
        return _bound(_at(operands[0], known), "eq", value=False)
    if len(operands) != 2:
        return NOTHING
    left, right = operands
    at, value = _at(left, known), _constant(right)
    if name == "in":
        return _membership(node.operation.signature, left, right, known)
    if name == "starts_with":
        return _bound(at, "starts_with", value)
    if name in _COMPARISONS or name in _SAME:
        op: BoundOperator = _COMPARISONS.get(name, "eq")
        if at is None:  # the other way round
            return _bound(_at(right, known), _MIRRORED.get(op, op), _constant(left))
        return _bound(at, op, value)
    return NOTHING


def _membership(signature: str, left: core.Core, right: core.Core, known: Mapping[int, _At]) -> Bounds:
    """`x in [1, 2]`; and `1 in xs`, of which an index has an entry for each item."""
    if not signature.startswith("E, "):  # neither a part of a text nor a key of a map has an entry
        return NOTHING
    at, value = _at(left, known), _constant(right)
    if at is not None:
        return _bound(at, "in", None if value is None else tuple(value))
    found = _at(right, known)
    return _bound(found and found._replace(is_multi=True), "eq", _constant(left))


def _any(loop: core.Loop, known: Mapping[int, _At]) -> Bounds:
    """What one item must fulfil; that there is an item at all is no bound."""
    at = _at(loop.source, known)
    if at is None or len(loop.slots) != 1:
        return NOTHING
    inside = {**known, loop.slots[0]: _At(at.path, is_multi=True)}
    body = _required(loop.body, inside)
    found = body if loop.condition is None else both([_required(loop.condition, inside), body])
    return found._replace(is_exact=False)


def _bound(at: _At | None, op: BoundOperator, value: Any) -> Bounds:
    """A bound, where there is a path and a constant; of several items, more can be asked at once."""
    if at is None or not at.path or value is None:
        return NOTHING
    return Bounds((Bound(at.path, op, value, at.is_multi),), is_exact=not at.is_multi)


def _at(node: core.Core, known: Mapping[int, _At]) -> _At | None:
    match node:
        case core.Local():
            return known.get(node.slot)
        case core.Get():
            base = _at(node.base, known)
            return None if base is None else _At((*base.path, node.field), base.is_multi)
        case core.Op() if node.operation.name in _CONVERSIONS:
            return _at(node.operands[0], known)
        case core.Let(body=core.If(condition=core.Op() as test, yes=core.Const(value=None), no=rest)):  # `a?.b`
            base = _at(node.value, known)
            if base is None or test.operation.name != "is_none":
                return None
            return _at(rest, {**known, node.slot: base})
        case _:
            return None


def _constant(node: core.Core) -> Any:
    return node.value if isinstance(node, core.Const) else None
