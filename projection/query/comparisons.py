"""Structured filters, checked: their paths and values against the views' types. That is all that planning needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from projection.lang import types as ty
from projection.lang.check.depths import MAX_DEPTH
from projection.lang.steps import tick
from projection.query.bounds import NOTHING, Bound, BoundOperator, Bounds, both, either
from projection.query.errors import QueryInvalidError, QueryLimitError
from projection.query.form import And, Comparison, Not, Or
from projection.query.paths import Each, Field, Item, Key
from projection.query.values import read_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.model.query_limits import QueryLimits
    from projection.query.form import Node, Operator
    from projection.query.paths import Step, ViewPath
    from projection.query.schema import ViewSchema

POINTER = "/filter"
MAX_VALUES = 1_000  # of one `in`

ORDERED: tuple[Operator, ...] = ("lt", "le", "gt", "ge")
_EQUAL: tuple[Operator, ...] = ("eq", "ne")
_BOUNDING: dict[Operator, BoundOperator] = {
    "eq": "eq", "lt": "lt", "le": "le", "gt": "gt", "ge": "ge", "in": "in", "starts_with": "starts_with",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """A comparison whose value is of its path's type; None where it asks whether there is one."""

    path: ViewPath
    op: Operator
    value: Any


@dataclass(frozen=True, slots=True)
class Group:
    """All of its parts, or one of them."""

    parts: tuple[Tree, ...]
    is_and: bool


@dataclass(frozen=True, slots=True)
class Negated:
    """What its part is not."""

    part: Tree


Tree: TypeAlias = Asked | Group | Negated


def checked(schema: ViewSchema, filter_: Node, limits: QueryLimits) -> Tree:
    """Check a structured filter.

    Raises:
        QueryInvalidError: it does not fit the views.
        QueryLimitError: it is too long, too deep, or compares too much.
    """
    _require_bounded(filter_, limits)
    tree = _checked(schema, filter_, POINTER)
    if _levels(tree) > MAX_DEPTH:
        raise _beyond("the filter nests too deeply with the paths that it follows", "filter_depth", limits.filter_depth)
    require_nodes(nodes_of(tree), limits)
    return tree


def require_nodes(nodes: int, limits: QueryLimits) -> None:
    """Refuse a filter that computes too much to be compiled.

    Raises:
        QueryLimitError: it is made of more nodes than allowed.
    """
    if nodes > limits.filter_nodes:
        raise _beyond(f"the filter has {nodes:,} nodes of computation", "filter_nodes", limits.filter_nodes)


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


def _levels(tree: Tree) -> int:
    """How deep its computation nests, at most."""
    match tree:
        case Asked():
            return 4 * len(tree.path.steps) + 6
        case Group():
            return 2 * len(tree.parts).bit_length() + max(map(_levels, tree.parts))
        case Negated():
            return 2 + _levels(tree.part)


def nodes_of(tree: Tree) -> int:
    """How many nodes its computation has, at most: what it takes to compile it."""
    match tree:
        case Asked():
            return sum(_nodes_of_step(step, tree.path) for step in tree.path.steps) + 5
        case Group():
            return 2 * len(tree.parts) + sum(map(nodes_of, tree.parts))
        case Negated():
            return 1 + nodes_of(tree.part)


def _nodes_of_step(step: Step, path: ViewPath) -> int:
    match step:
        case Field():
            return 6 if path.is_optional else 1
        case Each():
            return 4
        case Key() | Item():
            return 8


def _checked(schema: ViewSchema, node: Node, pointer: str) -> Tree:
    tick()
    match node:
        case And() | Or():
            is_and = isinstance(node, And)
            word = "and" if is_and else "or"
            parts = [_checked(schema, part, f"{pointer}/{word}/{place}") for place, part in enumerate(node.parts)]
            return Group(tuple(parts), is_and)
        case Not():
            return Negated(_checked(schema, node.part, f"{pointer}/not"))
        case Comparison():
            return _comparison(schema, node, pointer)


def _comparison(schema: ViewSchema, node: Comparison, pointer: str) -> Tree:
    path = schema.resolve(node.field, f"{pointer}/field")
    op, value = node.op, node.value
    if op == "exists" or (op in _EQUAL and value is None):
        there = Asked(path, "exists", None)
        return there if op == "ne" or (op == "exists" and value is not False) else Negated(there)
    if op not in (taken := operators_of(path.type)):
        hint = f"there are: {', '.join(taken)}" + _way_inside(path.type)
        raise QueryInvalidError(f"`{op}` does not take {path.type}", hint=hint, pointer=f"{pointer}/op")
    at = f"{pointer}/value"
    if op == "in":
        return Asked(path, op, _list(value, path.type, at))
    asked = Asked(path, "eq" if op == "ne" else op, read_value(value, operand(op, path.type), at))
    return Negated(asked) if op == "ne" else asked


def _list(written: Any, type_: ty.Type, pointer: str) -> list[Any]:
    if not isinstance(written, (list, tuple)):
        raise QueryInvalidError("`in` takes a list of values", pointer=pointer)
    if len(written) > MAX_VALUES:
        raise QueryInvalidError(
            f"`in` takes at most {MAX_VALUES:,} values", hint="ask in several queries", pointer=pointer
        )
    return [read_value(one, type_, f"{pointer}/{place}") for place, one in enumerate(written)]


def operators_of(type_: ty.Type) -> tuple[Operator, ...]:
    """What a value of a type can be asked."""
    match type_:
        case ty.String() | ty.Enum():
            return (*_EQUAL, *ORDERED, "in", "contains", "starts_with", "exists")
        case ty.Int() | ty.Decimal() | ty.Date() | ty.Timestamp() | ty.Duration() | ty.Bytes():
            return (*_EQUAL, *ORDERED, "in", "exists")
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


def operand(op: Operator, type_: ty.Type) -> ty.Type:
    """The type of what a value of a type is compared with."""
    match type_:
        case ty.List(item=item) | ty.Set(item=item):
            return item
        case ty.Map():
            return type_.key
        case ty.Enum() if op not in _EQUAL:  # a part of a member, or what lies between two, need be none
            return ty.TEXT
        case _:
            return type_


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


# --- what follows from it --------------------------------------------------------------------------------------------


def fields_of(tree: Tree) -> frozenset[str]:
    """The view's own fields that a filter reads."""
    match tree:
        case Asked():
            return frozenset() if tree.path.field is None else frozenset([tree.path.field])
        case Group():
            return frozenset().union(*map(fields_of, tree.parts))
        case Negated():
            return fields_of(tree.part)


def bounds_of_tree(tree: Tree) -> Bounds:
    """The bounds of a filter: those that its core has, told without making it."""
    match tree:
        case Group():
            return (both if tree.is_and else either)([bounds_of_tree(part) for part in tree.parts])
        case Asked(path=path) if path.names is not None and not isinstance(path.type, (ty.Json, ty.Map)):
            is_multi = path.is_multi or isinstance(path.type, (ty.List, ty.Set))
            op = "eq" if is_multi and tree.op == "contains" and not _is_text(path) else _BOUNDING.get(tree.op)
            if op is None:
                return NOTHING
            value = tuple(tree.value) if op == "in" else tree.value
            return Bounds((Bound(path.names, op, value, is_multi),), is_exact=not is_multi)
        case _:
            return NOTHING


def _is_text(path: ViewPath) -> bool:
    return isinstance(path.type, (ty.String, ty.Enum))
