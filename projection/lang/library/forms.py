"""Forms: operations that programs cannot name, which the checker inserts for what they write.

What is sorted or grouped by keys comes as pairs of a key and a value. Several keys are several stable sorts, the last
key first: `[r by a desc, b for …]` is `sorted_by_desc(sorted_by([pair(b, pair(a, r)) for …]))`.
"""

from __future__ import annotations

from decimal import Decimal
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from projection.lang import failures
from projection.lang.cost.costs import (
    KEY_WEIGHT,
    NODES,
    WEIGHT,
    added,
    constant,
    counted_nodes,
    linear,
    n_log_n,
    smaller,
    walked,
)
from projection.lang.cost.sizes import SINGLE, UNKNOWN, Size, capped, either
from projection.lang.library import extents
from projection.lang.library.numeric import sum_decimals
from projection.lang.library.registry import FREE, form
from projection.lang.library.text import text_extent, text_of
from projection.lang.values import numbers, sets, structs
from projection.lang.values.narrowing import narrowed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


# --- equality --------------------------------------------------------------------------------------------------------


def _same(a: Any, b: Any) -> bool:
    return bool(a == b)


def _same_json(a: Any, b: Any) -> bool:
    """Equality where json can be inside: there, Python would take `true` for 1."""
    waiting = [(a, b)]
    while waiting:
        one, other = waiting.pop()
        if isinstance(one, bool) is not isinstance(other, bool):
            return False
        if isinstance(one, (list, tuple)) and isinstance(other, type(one)):
            if len(one) != len(other):
                return False
            waiting += zip(one, other, strict=True)
        elif isinstance(one, dict) and isinstance(other, dict):
            if one.keys() != other.keys():
                return False
            waiting += [(value, other[key]) for key, value in one.items()]
        elif hasattr(one, "__struct_fields__") and type(one) is type(other):
            waiting += [(getattr(one, name), getattr(other, name)) for name in one.__struct_fields__]
        elif one != other:
            return False
    return True


# Single values, and none. Texts are compared so, too, where one of them is known to be short: nothing is measured then.
form("same", "T?, T? -> bool", gas=constant(1), alloc=FREE, function=_same, inline="{0} == {1}")
form("same_text", "string, string -> bool", gas=smaller(8, shift=8), alloc=FREE, function=_same, inline="{0} == {1}")
form("same_text_or_none", "string?, string? -> bool", gas=smaller(18, shift=8), alloc=FREE, function=_same,
     inline="{0} == {1}")  # fmt: skip
form("same_bytes", "bytes?, bytes? -> bool", gas=smaller(18, shift=8), alloc=FREE, function=_same, inline="{0} == {1}")
form("same_parts", "T?, T? -> bool", gas=walked(40, factor=4), alloc=FREE, function=_same, inline="{0} == {1}")
form("same_json", "T?, T? -> bool", gas=walked(40, factor=16), alloc=FREE, function=_same_json)
form("is_none", "T? -> bool", gas=constant(1), alloc=FREE, function=lambda a: a is None, inline="{0} is None")


# --- places ----------------------------------------------------------------------------------------------------------


def _asserted(value: Any, path: str) -> Any:
    if value is None:
        raise failures.nothing_there(path)
    return value


def _entered(value: Any, path: str) -> Any:
    if value is None:
        raise failures.nothing_there(path, is_entry=True)
    return value


def _bounded(what: str) -> Callable[[Any, int], Any]:
    def check(value: Any, bound: int) -> Any:
        if len(value) > bound:
            raise failures.beyond_bound(what, len(value), bound)
        return value

    return check


def _bounded_extent(sizes: Sequence[Size]) -> Size:
    value, bound = sizes
    most = min(value.most, bound.ints[1])
    return extents.resized(value, min(value.least, most), most)


def _padded(value: Decimal | int, scale: int) -> Decimal:
    result = numbers.rescaled(Decimal(value), scale)
    if result is None:
        raise failures.inexact_decimal()
    return result


form(
    "asserted", "T?, string -> T", gas=constant(1), alloc=FREE, function=_asserted, size=extents.like(0),
    inline="({0} if {0} is not None else nothing_there({1}))",
)  # fmt: skip
# What a path of a `with` leads through.
form("entered", "T?, string -> T", gas=constant(1), alloc=FREE, function=_entered, size=extents.like(0),
     inline="({0} if {0} is not None else nothing_entered({1}))")  # fmt: skip
# What `m[k] += n` adds to: the zero of its type is the second operand.
form(
    "counted", "T?, T -> T", gas=constant(1), alloc=FREE, function=lambda value, zero: zero if value is None else value,
    inline="({0} if {0} is not None else {1})",
)  # fmt: skip
form("as_decimal", "int -> decimal", gas=constant(4), alloc=FREE, function=Decimal, inline="Decimal({0})")
form("as_scaled", "int, int -> decimal", gas=constant(16), alloc=FREE, function=_padded)
form("padded", "decimal, int -> decimal", gas=constant(16), alloc=FREE, function=_padded)
for _name, _type, _what in (
    ("string", "string", "a string"),
    ("bytes", "bytes", "bytes"),
    ("list", "list<T>", "a list"),
    ("set", "set<T>", "a set"),
    ("map", "map<K, V>", "a map"),
):
    form(
        f"bounded_{_name}", f"{_type}, int -> {_type}", gas=constant(2), alloc=FREE, function=_bounded(_what),
        size=_bounded_extent, inline=f"({{0}} if len({{0}}) <= {{1}} else beyond_bound({_what!r}, len({{0}}), {{1}}))",
    )  # fmt: skip


# The second operand is the type of the place, as a constant; the checker knows the type of the result.
form(
    "narrow", "json?, T -> V?", function=narrowed,
    gas=linear(25, 0, factor=30, measure=counted_nodes(30)), alloc=linear(0, 0, measure=NODES),
)  # fmt: skip


# The second operand is the field's name, as a constant.
form("has", "T, string -> bool", gas=constant(2), alloc=FREE, function=structs.has_field)


# Keys of the paths of one `with`; several keys of a path come as pairs in pairs.
def _apart(ends: list[Any], through: list[Any]) -> bool:
    seen: set[Any] = set()
    for key in ends:
        if key in seen:
            raise failures.paths_meet(_key_texts(key))
        seen.add(key)
    for key in through:
        if key in seen:
            raise failures.paths_meet(_key_texts(key))
    return True


def _key_texts(key: Any) -> list[str]:
    return [text_of(key[0]), *_key_texts(key[1])] if isinstance(key, tuple) else [text_of(key)]


form("apart", "list<K>, list<K> -> bool", gas=added(20, factor=3), alloc=added(1), function=_apart)


# --- lists, sets and maps --------------------------------------------------------------------------------------------


def _list_extent(sizes: Sequence[Size]) -> Size:
    return extents.items(len(sizes), len(sizes), extents.either_of(*range(len(sizes)))(sizes) if sizes else SINGLE)


def _joined_lists(*parts: list[Any]) -> list[Any]:
    return [item for part in parts for item in part]


def _map_of(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    return dict(sorted(dict(pairs).items()))


def _map_extent(sizes: Sequence[Size]) -> Size:
    pairs = sizes[0]
    pair = pairs.each
    least, most = min(pairs.least, 1), pairs.most
    return Size(0, 0) if pair is None else Size(least, most, item=pair.get("value"), key=pair.get("key"))


def _joined_maps(*parts: dict[Any, Any]) -> dict[Any, Any]:
    merged: dict[Any, Any] = {}
    for part in parts:
        merged |= part
    return dict(sorted(merged.items()))


def _entries_extent(sizes: Sequence[Size]) -> Size:
    entries = sizes[0]
    pair = Size(1, 2, fields=(("key", entries.key or UNKNOWN), ("value", entries.each or UNKNOWN)))
    return extents.items(entries.least, entries.most, pair)


def _put(entries: dict[Any, Any], key: Any, value: Any) -> dict[Any, Any]:
    changed = entries | {key: value}
    return changed if key in entries else dict(sorted(changed.items()))


def _put_extent(sizes: Sequence[Size]) -> Size:
    entries, key, value = sizes
    return Size(
        max(entries.least, 1), capped(entries.most + 1), key=either(entries.each_key or key, key),
        item=either(entries.each or value, value), origin=entries.origin,
    )  # fmt: skip


def _dropped(entries: dict[Any, Any], key: Any) -> dict[Any, Any]:
    return {one: value for one, value in entries.items() if one != key}


form(
    "list_of", "T, ... -> list<T>", gas=constant(2, 1), alloc=constant(0, 1), function=lambda *items: list(items),
    size=_list_extent, inline="[{...}]",
)  # fmt: skip
form(
    "joined_lists", "list<T>, ... -> list<T>", gas=added(8, shift=3), alloc=added(0), function=_joined_lists,
    size=extents.joined, inline="[*{...}]",
)  # fmt: skip
form(
    "set_of", "list<S> -> set<S>", gas=n_log_n(60, 0, shift=1, measure=WEIGHT), alloc=linear(0, 0),
    function=sets.as_set, size=extents.some_of(0),
)  # fmt: skip
form(
    "items", "set<S> -> list<S>", gas=linear(8, 0, shift=4), alloc=linear(0, 0), function=list, size=extents.like(0),
    inline="list({0})",
)  # fmt: skip
form("pair", "K, V -> pair<K, V>", gas=constant(2), alloc=constant(1), function=lambda key, value: (key, value),
     inline="({0}, {1})")  # fmt: skip
form(
    "map_of", "list<pair<K, V>> -> map<K, V>", gas=n_log_n(80, 0, measure=KEY_WEIGHT),
    alloc=linear(0, 0, factor=2), function=_map_of, size=_map_extent,
)  # fmt: skip
form("joined_maps", "map<K, V>, ... -> map<K, V>", gas=added(40, factor=2), alloc=added(0, factor=2),
     function=_joined_maps, size=extents.united)  # fmt: skip
form(
    "entries", "map<K, V> -> list<pair<K, V>>", gas=linear(15, 0), alloc=linear(0, 0),
    function=lambda entries: list(entries.items()), size=_entries_extent,
)  # fmt: skip
form(
    "put", "map<K, V>, K, V -> map<K, V>", gas=linear(50, 0, factor=3), alloc=linear(2, 0, factor=2), function=_put,
    size=_put_extent,
)  # fmt: skip
form(
    "dropped", "map<K, V>, K -> map<K, V>", gas=linear(15, 0, factor=3), alloc=linear(0, 0, factor=2),
    function=_dropped, size=extents.part_of(0),
)  # fmt: skip


# --- by keys ---------------------------------------------------------------------------------------------------------

_key: Callable[[tuple[Any, Any]], Any] = itemgetter(0)


def _sorted_by(pairs: list[tuple[Any, Any]]) -> list[Any]:
    return [value for _key_, value in sorted(pairs, key=_key)]


def _sorted_by_desc(pairs: list[tuple[Any, Any]]) -> list[Any]:
    return [value for _key_, value in sorted(pairs, key=_key, reverse=True)]  # equal keys keep their order here, too


def _values_extent(sizes: Sequence[Size]) -> Size:
    pairs = sizes[0]
    return Size(pairs.least, pairs.most, item=pairs.each and pairs.each.get("value"), origin=pairs.origin)


def _grouped(pairs: list[tuple[Any, Any]]) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return {key: groups[key] for key in sorted(groups)}


def _groups_extent(sizes: Sequence[Size]) -> Size:
    pairs = sizes[0]
    if (pair := pairs.each) is None:
        return Size(0, 0)
    group = Size(1, pairs.most, item=pair.get("value"), origin=pairs.origin)
    return Size(min(pairs.least, 1), pairs.most, item=group, key=pair.get("key"), origin=pairs.origin)


for _name, _sort in (("sorted_by", _sorted_by), ("sorted_by_desc", _sorted_by_desc)):
    form(
        _name, "list<pair<S, V>> -> list<V>", gas=n_log_n(60, 0, shift=1, measure=KEY_WEIGHT), alloc=linear(0, 0),
        function=_sort, size=_values_extent,
    )  # fmt: skip
form(
    "grouped", "list<pair<K, V>> -> map<K, list<V>>", gas=n_log_n(80, 0, measure=KEY_WEIGHT),
    alloc=linear(0, 0, factor=3), function=_grouped, size=_groups_extent,
)  # fmt: skip


# --- sums ------------------------------------------------------------------------------------------------------------

# The sum of decimals takes the zero of its type from the checker.
form("sum_decimals", "list<decimal>, decimal -> decimal", gas=linear(12, 0, factor=2), alloc=FREE,
     function=sum_decimals, inline="sum({0}, {1})")  # fmt: skip


# --- texts -----------------------------------------------------------------------------------------------------------

form("text_of", "scalar -> string", gas=constant(30), alloc=constant(1), function=text_of, size=text_extent)
form(
    "joined_text", "string, ... -> string", gas=added(8, shift=8), alloc=added(1, shift=4),
    function=lambda *parts: "".join(parts), size=extents.joined, inline="''.join(({...},))",
)  # fmt: skip
