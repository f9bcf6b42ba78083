"""Lists: their parts, their order, and what all of their items say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from projection.lang.cost.costs import (
    LENGTH,
    NUMBER,
    TOTAL,
    WEIGHT,
    Shape,
    constant,
    linear,
    n_log_n,
    searched,
    smaller,
)
from projection.lang.cost.sizes import Size
from projection.lang.library import extents, ranges
from projection.lang.library.registry import FREE, builtin
from projection.lang.values import sets

if TYPE_CHECKING:
    from collections.abc import Sequence

_LISTED = linear(0, 0)  # the memory of a list as long as the first
_TAKEN = smaller(40, shift=4, measures=(LENGTH, NUMBER))
_TAKEN_MEMORY = smaller(0, measures=(LENGTH, NUMBER))


# --- what all items say ----------------------------------------------------------------------------------------------

builtin(
    "count", "list<T> -> int", gas=constant(1), alloc=FREE, function=len, inline="len({0})", size=ranges.counted,
    doc="How many items.",
    examples=[("count([3, 4])", "2")],
)  # fmt: skip
builtin(
    "length", "list<T> -> int", gas=constant(1), alloc=FREE, function=len, inline="len({0})", size=ranges.counted,
    doc="How many items.",
    examples=[("length([3, 4])", "2"), ("length([])", "0")],
)  # fmt: skip
for _name, _pick, _which in (("min", min, "least"), ("max", max, "largest")):
    builtin(
        _name, "list<S> -> S?", gas=linear(40, 0, measure=WEIGHT), alloc=FREE,
        function=lambda items, pick=_pick: pick(items, default=None), size=extents.item_of(0),
        doc=f"The {_which} item, the first of equal ones; none of nothing.",
        examples=[(f"{_name}([7, 3])!", f"{_pick(7, 3)}"), (f"{_name}([x for x in [1] if x > 1])", "none")],
    )  # fmt: skip
builtin(
    "any", "list<bool> -> bool", gas=linear(6, 0, shift=3), alloc=FREE, function=any, doc="Whether one is true.",
    examples=[("any([false, true])", "true"), ("any([])", "false")],
)  # fmt: skip
builtin(
    "all", "list<bool> -> bool", gas=linear(6, 0, shift=3), alloc=FREE, function=all, doc="Whether none is false.",
    examples=[("all([false, true])", "false"), ("all([])", "true")],
)  # fmt: skip


# --- parts -----------------------------------------------------------------------------------------------------------


def _index_of(items: list[Any], item: Any) -> int | None:
    return items.index(item) if item in items else None


builtin(
    "first", "list<T> -> T?", gas=constant(2), alloc=FREE, function=lambda items: items[0] if items else None,
    size=extents.item_of(0), inline="({0}[0] if {0} else None)", doc="The first item; none of nothing.",
    examples=[("first([5, 6])!", "5"), ("first([x for x in [1] if x > 1])", "none")],
)  # fmt: skip
builtin(
    "last", "list<T> -> T?", gas=constant(2), alloc=FREE, function=lambda items: items[-1] if items else None,
    size=extents.item_of(0), inline="({0}[-1] if {0} else None)", doc="The last item; none of nothing.",
    examples=[("last([5, 6])!", "6"), ("last([x for x in [1] if x > 1])", "none")],
)  # fmt: skip
builtin(
    "index_of", "list<E>, E -> int?", gas=searched(40, 1, 0), alloc=FREE,
    function=_index_of, size=ranges.position, doc="Where an item stands first, from 0; none where it does not.",
    examples=[("index_of([5, 6, 5], 5)", "0"), ("index_of([5, 6], 7)", "none")],
)  # fmt: skip
builtin(
    "take", "list<T>, int -> list<T>", gas=_TAKEN, alloc=_TAKEN_MEMORY, function=lambda items, n: items[: max(n, 0)],
    size=extents.at_most(0, 1), inline="{0}[: max({1}, 0)]", doc="The first items, at most so many.",
    examples=[("take([1, 2, 3], 2)", "[1, 2]"), ("take([1, 2], -1)", "[]")],
)  # fmt: skip
builtin(
    "take_last", "list<T>, int -> list<T>", gas=_TAKEN, alloc=_TAKEN_MEMORY,
    function=lambda items, n: items[-n:] if n > 0 else [], size=extents.at_most(0, 1),
    inline="({0}[-{1} :] if {1} > 0 else [])", doc="The last items, at most so many.",
    examples=[("take_last([1, 2, 3], 2)", "[2, 3]"), ("take_last([1, 2, 3], 0)", "[]")],
)  # fmt: skip
builtin(
    "skip", "list<T>, int -> list<T>", gas=linear(15, 0, shift=4), alloc=_LISTED,
    function=lambda items, n: items[max(n, 0) :], size=extents.part_of(0), doc="All but the first so many items.",
    examples=[("skip([1, 2, 3], 2)", "[3]"), ("skip([1, 2], 3)", "[]")],
)  # fmt: skip
builtin(
    "skip_last", "list<T>, int -> list<T>", gas=linear(15, 0, shift=4), alloc=_LISTED,
    function=lambda items, n: items[: max(len(items) - max(n, 0), 0)], size=extents.part_of(0),
    doc="All but the last so many items.",
    examples=[("skip_last([1, 2, 3], 2)", "[1]"), ("skip_last([1, 2], 3)", "[]")],
)  # fmt: skip
builtin(
    "slice", "list<T>, int, int -> list<T>", gas=linear(15, 0, shift=4), alloc=_LISTED,
    function=lambda items, start, end: items[max(start, 0) : max(end, 0)], size=extents.part_of(0),
    doc="The items from one position, from 0, up to and without another.",
    examples=[("slice([1, 2, 3, 4], 1, 3)", "[2, 3]"), ("slice([1, 2, 3], 2, 1)", "[]")],
)  # fmt: skip


# --- order -----------------------------------------------------------------------------------------------------------


def _flat_extent(sizes: Sequence[Size]) -> Size:
    (least, most), inner = TOTAL.within(sizes[0]), sizes[0].each
    return Size(least, most, item=inner and inner.each, origin=sizes[0].origin)


builtin(
    "reverse", "list<T> -> list<T>", gas=linear(8, 0, shift=4), alloc=_LISTED, function=lambda items: items[::-1],
    size=extents.like(0), doc="The items from the last to the first.", examples=[("reverse([1, 2, 3])", "[3, 2, 1]")],
)  # fmt: skip
builtin(
    "sort", "list<S> -> list<S>", gas=n_log_n(30, 0, shift=2, measure=WEIGHT), alloc=_LISTED, function=sorted,
    size=extents.like(0), doc="The items from the least to the largest; equal ones keep their order.",
    examples=[("sort([3, 1, 2])", "[1, 2, 3]"), ('sort(["b", "B", "a"])', '["B", "a", "b"]')],
)  # fmt: skip
builtin(
    "distinct", "list<S> -> list<S>", gas=n_log_n(100, 0, measure=WEIGHT), alloc=_LISTED,
    function=sets.distinct, size=extents.some_of(0),
    doc="Each item once, where it stands first.", examples=[("distinct([3, 1, 3, 1])", "[3, 1]")],
)  # fmt: skip
builtin(
    "flatten", "list<list<T>> -> list<T>", function=lambda lists: [item for items in lists for item in items],
    gas=Shape("added", 20, operands=(0, 0), measures=(LENGTH, TOTAL), formula=lambda s: 2 * s[0] + s[1],
              template="2 * len({0}) + total({0})"),
    alloc=linear(0, 0, measure=TOTAL), size=_flat_extent, doc="The items of all lists, one list behind the other.",
    examples=[("flatten([[1, 2], [3]])", "[1, 2, 3]")],
)  # fmt: skip
builtin(
    "range", "int -> list<int>", gas=linear(30, 0, shift=1, measure=NUMBER), alloc=linear(0, 0, measure=NUMBER),
    function=lambda count: list(range(count)), size=extents.below(0),
    doc="The ints from 0 up to and without a number.", examples=[("range(3)", "[0, 1, 2]"), ("range(-1)", "[]")],
)  # fmt: skip
