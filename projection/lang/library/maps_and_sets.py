"""Maps and sets. Both are kept in order: maps by their keys, sets by their items, of which each is there once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from projection.lang.cost.costs import WEIGHT, Shape, both, constant, linear, n_log_n
from projection.lang.cost.sizes import UNKNOWN, Size, capped, either
from projection.lang.library import extents, ranges
from projection.lang.library.registry import FREE, builtin
from projection.lang.values import sets

if TYPE_CHECKING:
    from collections.abc import Sequence


def _in_both_sets(factor: int) -> Shape:
    return Shape(
        "added", 50, operands=(0, 1), measures=(WEIGHT, WEIGHT), formula=lambda sizes: factor * (sizes[0] + sizes[1]),
        template=f"{factor} * ({WEIGHT.written(0)} + {WEIGHT.written(1)})",
    )  # fmt: skip


# --- maps ------------------------------------------------------------------------------------------------------------

builtin(
    "length", "map<K, V> -> int", gas=constant(1), alloc=FREE, function=len, inline="len({0})", size=ranges.counted,
    doc="The number of entries.", examples=[('length({["a"]: 1})', "1")],
)  # fmt: skip
builtin(
    "keys", "map<K, V> -> list<K>", gas=linear(10, 0, shift=2), alloc=linear(0, 0), function=list, inline="list({0})",
    size=lambda sizes: Size(sizes[0].least, sizes[0].most, item=sizes[0].key or UNKNOWN, origin=sizes[0].origin),
    doc="The keys, in order.", examples=[('keys({["b"]: 1, ["a"]: 2})', '["a", "b"]')],
)  # fmt: skip
builtin(
    "values", "map<K, V> -> list<V>", gas=linear(10, 0, shift=2), alloc=linear(0, 0),
    function=lambda entries: list(entries.values()),
    size=lambda sizes: Size(sizes[0].least, sizes[0].most, item=sizes[0].each, origin=sizes[0].origin),
    doc="The values, in the order of their keys.", examples=[('values({["b"]: 1, ["a"]: 2})', "[2, 1]")],
)  # fmt: skip


# --- sets ------------------------------------------------------------------------------------------------------------


def _added(items: tuple[Any, ...], item: Any) -> tuple[Any, ...]:
    return items if item in items else tuple(sorted((*items, item)))


def _added_extent(sizes: Sequence[Size]) -> Size:
    items, item = sizes
    return Size(max(items.least, 1), capped(items.most + 1), item=either(items.each or item, item), origin=items.origin)


builtin(
    "length", "set<S> -> int", gas=constant(1), alloc=FREE, function=len, inline="len({0})", size=ranges.counted,
    doc="The number of items.",
    examples=[("length(set([1, 2, 1]))", "2")],
)  # fmt: skip
builtin(
    "set", "list<S> -> set<S>", gas=n_log_n(60, 0, shift=1, measure=WEIGHT), alloc=linear(0, 0), function=sets.as_set,
    size=extents.some_of(0), doc="The items of a list in order, each once; the first of equal ones.",
    examples=[("set([3, 1, 3])", "[1, 3]")],
)  # fmt: skip
builtin(
    "list", "set<S> -> list<S>", gas=linear(8, 0, shift=4), alloc=linear(0, 0), function=list, inline="list({0})",
    size=extents.like(0), doc="The items of a set, in their order.", examples=[("list(set([3, 1, 3]))", "[1, 3]")],
)  # fmt: skip
builtin(
    "union", "set<S>, set<S> -> set<S>", gas=_in_both_sets(3), alloc=both(0), size=extents.united,
    function=lambda a, b: sets.as_set(a + b), doc="The items of either set.",
    examples=[("union(set([1, 2]), set([2, 3]))", "[1, 2, 3]")],
)  # fmt: skip
builtin(
    "intersection", "set<S>, set<S> -> set<S>", gas=_in_both_sets(2), alloc=linear(0, 0), function=sets.intersection,
    size=extents.part_of(0), doc="The items that are in both sets.",
    examples=[("intersection(set([1, 2]), set([2, 3]))", "[2]")],
)  # fmt: skip
builtin(
    "difference", "set<S>, set<S> -> set<S>", gas=_in_both_sets(2), alloc=linear(0, 0), function=sets.difference,
    size=extents.part_of(0), doc="The items of the first set that are not in the second.",
    examples=[("difference(set([1, 2]), set([2, 3]))", "[1]")],
)  # fmt: skip
builtin(
    "is_subset", "set<S>, set<S> -> bool", gas=_in_both_sets(2), alloc=FREE, function=sets.is_subset,
    doc="Whether all items of the first set are in the second.",
    examples=[("is_subset(set([1]), set([1, 2]))", "true"), ("is_subset(set([1, 3]), set([1, 2]))", "false")],
)  # fmt: skip
builtin(
    "add", "set<S>, S -> set<S>", gas=linear(40, 0, factor=2, measure=WEIGHT), alloc=linear(1, 0), function=_added,
    size=_added_extent, doc="The set with an item added.",
    examples=[("add(set([1, 3]), 2)", "[1, 2, 3]"), ("add(set([1, 3]), 3)", "[1, 3]")],
)  # fmt: skip
builtin(
    "remove", "set<S>, S -> set<S>", gas=linear(40, 0, factor=2, measure=WEIGHT), alloc=linear(0, 0),
    function=lambda items, item: tuple([one for one in items if one != item]), size=extents.part_of(0),
    doc="The set with an item removed.",
    examples=[("remove(set([1, 2, 3]), 2)", "[1, 3]"), ("remove(set([1]), 2)", "[1]")],
)  # fmt: skip
